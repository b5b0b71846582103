package retryfunc

import "strconv"

// Class says what became of an attempt, as far as its caller can know. The zero
// value is [None].
type Class uint8

const (
	// None means that there was no error.
	None Class = iota
	// NotSent means that no byte of the request left this side: the handler did
	// not run. Known from this side only: a refused dial, an open circuit, a
	// context that ended before the dial.
	NotSent
	// Refused means that the called service said, in a [Mark] of its own, that
	// it ran nothing.
	Refused
	// Broken means that the connection broke after the send began. The handler
	// may have run.
	Broken
	// Timeout means that the attempt timed out (408). The handler may have run,
	// and may still be running.
	Timeout
	// Internal means that the handler or its framework answered 500, or
	// panicked. The handler ran.
	Internal
	// Application is any other answer, a handler's bare 429 or 503 included, and
	// whatever another attempt would not change, such as a reply that cannot be
	// decoded. The handler may have run.
	Application
	// NoNode means that the registry knows no such service, or no node of it.
	// Nothing ran.
	NoNode
	// Canceled means that the caller gave up. The handler may have run.
	Canceled
)

// String returns the class in lower-case words, such as "not sent".
func (c Class) String() string {
	switch c {
	case None:
		return "none"
	case NotSent:
		return "not sent"
	case Refused:
		return "refused"
	case Broken:
		return "broken"
	case Timeout:
		return "timeout"
	case Internal:
		return "internal"
	case Application:
		return "application"
	case NoNode:
		return "no node"
	case Canceled:
		return "canceled"
	default:
		return "Class(" + strconv.Itoa(int(c)) + ")"
	}
}
