package idempotency

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// EventKind says what happened to a keyed call.
type EventKind uint8

// The kinds of an [Event].
const (
	// EventExecuted: the handler ran and its answer was recorded.
	EventExecuted EventKind = iota + 1
	// EventReleased: the handler ran, and its answer settles nothing, so that the
	// key is free. Err is its error.
	EventReleased
	// EventReplayed: a duplicate was answered with the record.
	EventReplayed
	// EventRefused: the call was answered with an [*Error] or a [*KeyError],
	// which is in Err. Without a key in its Scope, it did not get as far as one.
	EventRefused
	// EventTakenOver: an orphan was taken over.
	EventTakenOver
	// EventUnrecorded: the handler ran without a claim, see [FailOpen].
	EventUnrecorded
	// EventLeaseLost: the execution lost its lease.
	EventLeaseLost
	// EventPanicked: the handler panicked; Err is the [*PanicError].
	EventPanicked
	// EventUnresolved: the store could not be told how an execution ended. The key
	// will be an orphan, for [Guard.Resolve]; or, where Err is [ErrCommitUnknown],
	// the next call with it finds out. Record is what should be stored, or nil if
	// the key should be released.
	EventUnresolved
	// EventRolledBack: the handler ran, and its transaction did not commit, so that
	// nothing has happened and the key is free. Err is the cause; if it is no
	// [ErrRepeatable], the next execution would fare the same.
	EventRolledBack
	// EventStoreFailed: the store failed, for the reason in Err, which begins with
	// what it was asked to do. What that means for the call is told by an event of
	// its own, if it means anything.
	EventStoreFailed
	// EventLookedUp: [Guard.Lookup] was asked for the key.
	EventLookedUp
	// EventResolved: [Guard.Resolve] made the key done, with the Record; or was to,
	// and failed with Err.
	EventResolved
	// EventForgotten: [Guard.Resolve] or [Guard.Forget] freed the key; or was to,
	// and failed with Err.
	EventForgotten
	// EventIgnored: a call carried a key that was made for another one, and ran as one
	// without a key. Err says for which, and is [ErrForeignKey].
	EventIgnored
	// EventUnidentified: a message came to a subscription that handles each message
	// once, and nothing told it from others. It was handled.
	EventUnidentified
	// EventClaimed: the key was claimed, and the handler is about to be executed.
	EventClaimed
	// EventJoined: a duplicate met an execution that runs, here or elsewhere, and waits
	// for it. How that ends is told by an event of its own, most often EventReplayed
	// with Joined.
	EventJoined
	// EventStoreOperation: the store was asked to do Operation, which took Took and
	// ended with Err. Only hooks are told.
	EventStoreOperation
)

// String names the kind.
func (k EventKind) String() string {
	names := [...]string{
		"executed", "released", "replayed", "refused", "taken over",
		"unrecorded", "lease lost", "panicked", "unresolved",
		"rolled back", "store failed", "looked up", "resolved", "forgotten",
		"ignored", "unidentified", "claimed", "joined", "store operation",
	}
	if k < EventExecuted || int(k) > len(names) {
		return fmt.Sprintf("EventKind(%d)", uint8(k))
	}
	return names[k-1]
}

// Event is what a [Hook] sees.
type Event struct {
	Kind     EventKind
	Scope    Scope
	StoreKey StoreKey
	Owner    Owner
	// Fence of the execution, if there was one.
	Fence uint64
	// Record, for EventUnresolved, EventLeaseLost and EventResolved, in encoded
	// form; see [DecodeRecord]. It holds the reply: think before you log it.
	Record []byte
	// Err is the error behind the event. May be nil.
	Err error
	// Joined, for EventReplayed: the duplicate has waited for the execution whose
	// answer it got.
	Joined bool
	// Origin, for EventExecuted and EventReplayed, says where the execution came from
	// whose answer it is, see [WithOrigin]; empty if that is not known.
	Origin string
	// Operation of the store, for EventStoreOperation, and how long it took.
	Operation StoreOperation
	Took      time.Duration
}

// Hook sees what happens, for metrics and alarms. It is called from many
// goroutines and must return soon; it must not change the event's record. If it
// panics, that is logged.
type Hook func(ctx context.Context, e Event)

// tell writes an event to the log and shows it to the hooks.
func (g *Guard) tell(ctx context.Context, e *Event) {
	g.log(ctx, e)
	for _, hook := range g.hooks {
		g.show(ctx, hook, e)
	}
}

func (g *Guard) show(ctx context.Context, hook Hook, e *Event) {
	defer func() {
		if value := recover(); value != nil {
			g.logHookPanic(ctx, e.Kind, value, debug.Stack())
		}
	}()
	hook(ctx, *e)
}

// report tells an event of a request.
func (g *Guard) report(ctx context.Context, r *request, e Event) {
	e.Scope, e.StoreKey, e.Owner, e.Fence = r.claim.Scope, r.claim.Key, r.claim.Owner, r.fence
	g.tell(ctx, &e)
}

// storeFailed reports that the store could not do what it was asked to.
func (g *Guard) storeFailed(ctx context.Context, r *request, operation string, err error) {
	g.report(ctx, r, Event{Kind: EventStoreFailed, Err: fmt.Errorf("%s: %w", operation, err)})
}
