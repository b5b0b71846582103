package idempotency

import "context"

// StoreFailure says what happens to a call while the store does not answer.
type StoreFailure uint8

const (
	// FailClosed executes nothing: the call is refused ([ErrUnavailable]). It
	// is the zero value and the default.
	FailClosed StoreFailure = iota
	// FailOpen executes without a claim, and reports it ([EventUnrecorded]):
	// duplicates on other instances execute too.
	FailOpen
)

// Takeover says what becomes of an orphan: a claim whose owner let its lease
// end, so that nobody knows how far it came. The zero value is [TakeoverHold].
type Takeover struct {
	rerun   bool
	recover RecoverFunc
	invalid bool
}

// TakeoverHold leaves an orphan alone: duplicates are answered 409
// ([ErrOutcomeUnknown]) until its owner comes back, or somebody resolves it.
func TakeoverHold() Takeover { return Takeover{} }

// TakeoverRerun executes again. It is for work that is harmless to repeat, or
// that checks the fence (see [ExecutionFrom]).
func TakeoverRerun() Takeover { return Takeover{rerun: true} }

// TakeoverRecover asks f, which must not be nil, whether the work was done.
func TakeoverRecover(f RecoverFunc) Takeover {
	return Takeover{recover: f, invalid: f == nil}
}

func (t Takeover) wanted() bool { return t.rerun || t.recover != nil }

// RecoverFunc finds out whether the work of an orphan was done, for instance
// by looking its key up in the ledger. If it was, RecoverFunc fills o.Reply and
// returns true, and that reply is recorded. If it was not, the handler runs.
// With an error the outcome stays unknown: duplicates get
// [ErrOutcomeUnknown], and the question is asked again when the lease of this
// takeover has ended. It is called by one owner at a time, under the
// execution's context.
type RecoverFunc func(ctx context.Context, o Orphan) (done bool, err error)

// Orphan is what a [RecoverFunc] gets to know.
type Orphan struct {
	Scope Scope
	// Body is the request's body and Reply the pointer to fill, as in [Call].
	Body, Reply any
	// Fence is that of the takeover.
	Fence uint64
}
