package retryfunc

import "strconv"

// Class says what became of an attempt, as far as its caller can know. The zero
// value is [None].
type Class uint8

const (
	// None: there was no error.
	None Class = iota
	// NotSent: no byte of the request left this side; the handler did not run.
	// Known from this side only: a refused dial, an open circuit, a context
	// that ended before the dial.
	NotSent
	// Refused: the called service said, in a [Mark] of its own, that it ran
	// nothing.
	Refused
	// Broken: the connection broke after the send began. The handler may have
	// run.
	Broken
	// Timeout: the attempt timed out (408). The handler may have run, and may
	// still be running.
	Timeout
	// Internal: the handler or its framework answered 500, or panicked. The
	// handler ran.
	Internal
	// Application: any other answer, a handler's bare 429 or 503 included, and
	// whatever another attempt would not change, such as a reply that cannot be
	// decoded. The handler may have run.
	Application
	// NoNode: the registry knows no such service, or no node of it. Nothing ran.
	NoNode
	// Canceled: the caller gave up. The handler may have run.
	Canceled
)

var classNames = [...]string{
	None: "none", NotSent: "not sent", Refused: "refused", Broken: "broken", Timeout: "timeout",
	Internal: "internal", Application: "application", NoNode: "no node", Canceled: "canceled",
}

// String returns the class in lower-case words, such as "not sent".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "Class(" + strconv.Itoa(int(c)) + ")"
}
