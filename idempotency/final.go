package idempotency

import "errors"

// NotDone marks an error of a handler: nothing has happened, so the key is
// released, not recorded, and the request may be repeated. The error keeps
// its text and its chain. NotDone(nil) is nil. Of marks within marks the outer
// one counts, here as with [Final] and [FinalKeepWrites].
func NotDone(err error) error { return mark(err, markNotDone) }

// Final marks an error of a handler as its last word, whatever its kind: it is
// recorded, duplicates get it too, and in a transactional store what the handler
// wrote is undone. That is what becomes of most errors below 500 without it. The
// error keeps its text and its chain. Final(nil) is nil.
func Final(err error) error { return mark(err, markFinal) }

// FinalKeepWrites is [Final] for an error that is a result, too: what the handler
// wrote in a transactional store commits together with the record. It is for a
// payment that was declined, whose row is to stay beside its 402. The error keeps
// its text and its chain. FinalKeepWrites(nil) is nil.
func FinalKeepWrites(err error) error { return mark(err, markFinalKeepWrites) }

// endMark is what a handler says of its own error.
type endMark uint8

const (
	unmarked endMark = iota
	markNotDone
	markFinal
	markFinalKeepWrites
)

type markedError struct {
	err  error
	mark endMark
}

func (e *markedError) Error() string { return e.err.Error() }
func (e *markedError) Unwrap() error { return e.err }

func mark(err error, as endMark) error {
	if err == nil {
		return nil
	}
	return &markedError{err, as}
}

// markOf returns the outermost mark of an error. What a handler panicked with is
// not what it says.
func markOf(err error) endMark {
	if _, panicked := err.(*PanicError); panicked { //nolint:errorlint // that of another guard's handler was returned
		return unmarked
	}
	if marked, ok := errors.AsType[*markedError](err); ok {
		return marked.mark
	}
	return unmarked
}

// withoutMark takes a mark off an error.
func withoutMark(err error) error {
	for {
		marked, ok := err.(*markedError) //nolint:errorlint // a mark deeper in the chain does no harm
		if !ok {
			return err
		}
		err = marked.err
	}
}
