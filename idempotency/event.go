package idempotency

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// EventKind says what happened to a keyed call.
type EventKind uint8

// The kinds of an [Event].
const (
	// EventExecuted: the handler ran and its answer was recorded.
	EventExecuted EventKind = iota + 1
	// EventReleased: the handler ran, nothing happened, the key is free.
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
	// EventUnresolved: the handler ran, and the store could not be told. The
	// key will be orphaned. Record is what should be stored, or nil if the key
	// should be released.
	EventUnresolved
	// EventIgnored: a call carried a key that was made for another one, and ran as one
	// without a key. Err says for which, and is [ErrForeignKey].
	EventIgnored
	// EventUnidentified: a message came to a subscription that handles each message
	// once, and nothing told it from others. It was handled.
	EventUnidentified
)

// String names the kind.
func (k EventKind) String() string {
	names := [...]string{
		"executed", "released", "replayed", "refused", "taken over",
		"unrecorded", "lease lost", "panicked", "unresolved",
		"ignored", "unidentified",
	}
	if k < EventExecuted || k > EventUnidentified {
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
	// Record, for EventUnresolved, in encoded form.
	Record []byte
	// Err is the error behind the event. May be nil.
	Err error
}

// Hook sees what happens, for metrics and logs. It is called from many
// goroutines and must return soon; it must not change the event's record.
type Hook func(ctx context.Context, e Event)

// logEvent is the hook where none is given.
func logEvent(ctx context.Context, e Event) {
	level := slog.LevelError
	switch e.Kind {
	case EventUnresolved, EventLeaseLost, EventPanicked:
	case EventUnrecorded, EventTakenOver:
		level = slog.LevelWarn
	default:
		return
	}
	slog.Default().LogAttrs(ctx, level, "idempotency: "+e.Kind.String(),
		slog.String("service", e.Scope.Service), slog.String("endpoint", e.Scope.Endpoint),
		slog.String("caller", e.Scope.Caller), slog.String("key", e.Scope.Key),
		slog.String("store_key", e.StoreKey.String()), slog.String("owner", e.Owner.String()),
		slog.Uint64("fence", e.Fence), slog.String("record", base64.StdEncoding.EncodeToString(e.Record)),
		slog.Any("error", e.Err))
}
