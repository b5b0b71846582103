package wrapper

import (
	"context"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// Observer sees what happens to calls, attempts, instances and requests: give it to
// WithObserver, WithServerObserver or oncemore.WithObserver. It is called by the
// goroutine that does the work, which waits for it, and by many at once: it must return
// soon, and be safe for concurrent use. It must not keep or change an event, which may
// be used again; what an event points to is a copy, and may be kept. If it panics, that
// is logged and disturbs nobody.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function that is an Observer.
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls the function.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

// Tracer is an Observer that is also told when something begins, and may give it a
// context of its own, derived from the one that it is given: with a span, and with what
// the next service is to know of it in go-micro's metadata. The event that tells how it
// ended comes with that context.
type Tracer interface {
	Observer
	// BeginCall is called when a call begins, or the opening of a stream. CallEnded tells
	// of its end.
	BeginCall(ctx context.Context, service, endpoint string) context.Context
	// BeginAttempt is called before an attempt is sent, by the goroutine that sends it.
	// AttemptEnded tells of its end. For attempts that open a stream, and those that came
	// to no instance, it is called with their end, after which nobody uses the context.
	BeginAttempt(ctx context.Context, a *AttemptBegun) context.Context
	// BeginRequest is called when a server has a request. RequestEnded tells of its end.
	BeginRequest(ctx context.Context, service, endpoint string) context.Context
}

// Event is one of the pointers to the types below; a type switch tells which. Other
// packages cannot add to them, but versions to come may: pass over what is not known.
//
// Of a client: *CallEnded, *AttemptEnded, *Decided, *BudgetEmptied, *CircuitChanged and
// *SnapshotChanged. Of a server: *RequestEnded, *Guarded and *HandlerPanicked.
type Event interface{ isEvent() }

// CallEnded tells of the end of a call, or of the opening of a stream. There is exactly
// one for each, however it ended: by an answer, by its deadline, because its caller left,
// for want of an instance, because of a wrong option, or by a panic (Err is then
// ErrPanicked). A message that is published is no call.
type CallEnded struct {
	// Service and Endpoint that were called.
	Service, Endpoint string
	// Stream tells that a stream was opened, or was not.
	Stream bool
	// Reopened tells that the stream had been opened before, of which an event told, and
	// was opened on another instance since, or should have been. Attempts has all.
	Reopened bool
	// BudgetLeft is how many retries the callee's budget would pay for now.
	BudgetLeft int
	// Report is the call's story, and its error.
	Report
}

// AttemptBegun tells a Tracer of an attempt that is about to be sent.
type AttemptBegun struct {
	// Service and Endpoint that are called.
	Service, Endpoint string
	// Address is the instance; empty where none was chosen.
	Address string
	// Number counts from 1.
	Number int
	// Hedge tells that it begins beside another, see WithHedge.
	Hedge bool
	// Began is when it began.
	Began time.Time
}

// AttemptEnded tells of one attempt of a call that has ended. All of a call are told in
// their order when it ends, just before its CallEnded: only then it is known how those
// ended that were outrun. Decided tells of those that failed as they do.
type AttemptEnded struct {
	// Service and Endpoint that were called.
	Service, Endpoint string
	// Stream tells that it opened a stream, or should have.
	Stream bool
	// Transparent tells that it took the place of one that was never sent, see
	// Report.Transparent.
	Transparent bool
	// Attempt is how it ended. Attempts before it: Number - 1.
	Attempt
}

// Decided tells at once what was decided about an attempt that has failed, or about one
// that goes on while the next is begun beside it. Retry tells which; Reason says why.
type Decided struct{ retryfunc.Decision }

// BudgetEmptied tells that a retry, or a hedge, was not made because the budget of its
// callee did not pay. Decided, or the attempt's Reason, tell the same of the attempt.
type BudgetEmptied struct {
	// Service and Endpoint that were called.
	Service, Endpoint string
	// Hedge tells that it was the budget of the hedges.
	Hedge bool
}

// CircuitChanged tells that an instance was ejected (To is breaker.Open), is probed
// (breaker.HalfOpen) or is back (breaker.Closed). Its context is not a call's. Clients
// that share a breaker tell each of their observers.
type CircuitChanged struct{ breaker.Transition }

// SnapshotChanged tells that a selectorx.Flat goes by what the registry told before
// (Stale), or no longer does. Its context is not a call's. The plugin gives the selector
// that it installs to its observers; see Observing for others.
type SnapshotChanged struct{ selectorx.Status }

// RequestEnded tells of the end of a request at a server, streams included. There is
// exactly one for each, however it ended; for a message there is none.
type RequestEnded struct {
	// Service is the server's, and Endpoint what was asked for.
	Service, Endpoint string
	// Stream tells that it was a stream.
	Stream bool
	// Key is the idempotency key that came with it; empty if none did. A client calls
	// with the same one as often as it attempts a call, so that it joins the two sides.
	Key string
	// Previous is how many attempts the client made before this one, as it says.
	Previous int
	// Outcome is how it was answered.
	Outcome Outcome
	// Reason says in a word why it was refused, see idempotency.ReasonCode; else empty.
	Reason string
	// Origin is where the execution came from whose answer was repeated, see
	// idempotency.WithOrigin; empty if that is not known.
	Origin string
	// Took is how long it took.
	Took time.Duration
	// Err is what it was answered with.
	Err error

	ran bool // the handler did, under a key
}

// Guarded tells what a guard did with a keyed request or message: all kinds of
// idempotency.Event, as they happen. Those are, for metrics: claimed, executed, replayed
// (Joined: after it waited), joined (it begins to wait), released, refused, taken over,
// unresolved, lease lost, store failed, and store operation with its kind, its duration
// and its error.
type Guarded struct{ idempotency.Event }

// HandlerPanicked tells what a handler, or a function that was given in an option,
// panicked with outside of a keyed execution, where Guarded does. It was answered with a
// 500, and logged.
type HandlerPanicked struct {
	// Service is the server's, and Endpoint what was asked for.
	Service, Endpoint string
	// Value is what it panicked with, and Stack where.
	Value any
	Stack []byte
}

// Outcome is how a request was answered.
type Outcome string

// The outcomes of a request.
const (
	// OutcomeUnkeyed: the handler ran, for a request without a key, or one whose key
	// does not count.
	OutcomeUnkeyed Outcome = "unkeyed"
	// OutcomeExecuted: the handler ran, under a key.
	OutcomeExecuted Outcome = "executed"
	// OutcomeReleased: the handler ran under a key, and no record is kept.
	OutcomeReleased Outcome = "released"
	// OutcomeReplayed: the record of an earlier execution was repeated.
	OutcomeReplayed Outcome = "replayed"
	// OutcomeJoined: it has waited for a running execution, and got its answer.
	OutcomeJoined Outcome = "joined"
	// OutcomeRefused: it was answered in the handler's place. Reason says why.
	OutcomeRefused Outcome = "refused"
)

// Saved says what a call that was answered would not have been answered without, or not
// then.
type Saved uint8

// What saved a call.
const (
	// SavedByNothing: the first attempt was answered, or none.
	SavedByNothing Saved = iota
	// SavedByRetry: an attempt was answered that followed another which had failed, or
	// which had its share of the call's time.
	SavedByRetry
	// SavedByHedge: a hedge was answered first.
	SavedByHedge
)

// String names it in a word.
func (s Saved) String() string {
	switch s {
	case SavedByNothing:
		return "nothing"
	case SavedByRetry:
		return "retry"
	case SavedByHedge:
		return "hedge"
	}
	return "unknown"
}

func (*CallEnded) isEvent()       {}
func (*AttemptEnded) isEvent()    {}
func (*Decided) isEvent()         {}
func (*BudgetEmptied) isEvent()   {}
func (*CircuitChanged) isEvent()  {}
func (*SnapshotChanged) isEvent() {}
func (*RequestEnded) isEvent()    {}
func (*Guarded) isEvent()         {}
func (*HandlerPanicked) isEvent() {}
