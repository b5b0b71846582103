package idempotency

import (
	"context"
	"time"
)

// StoreOperation names what a [Store] was asked to do.
type StoreOperation string

// The operations of which an [EventStoreOperation] tells.
const (
	OperationClaim    StoreOperation = "claim"
	OperationRenew    StoreOperation = "renew"
	OperationComplete StoreOperation = "complete"
	OperationRelease  StoreOperation = "release"
	OperationUndo     StoreOperation = "undo"
	OperationWatch    StoreOperation = "watch"
)

// timed runs one operation of the store, and tells the hooks how long it took.
func (g *Guard) timed(ctx context.Context, r *request, o StoreOperation, operation func() error) error {
	if len(g.hooks) == 0 {
		return operation()
	}
	began := time.Now()
	err := operation()
	g.report(ctx, r, Event{Kind: EventStoreOperation, Operation: o, Took: time.Since(began), Err: err})
	return err
}

// note tells of what only hooks are told, and costs nothing without them.
func (g *Guard) note(ctx context.Context, r *request, kind EventKind) {
	if len(g.hooks) > 0 {
		g.report(ctx, r, Event{Kind: kind})
	}
}

// joins notes that a duplicate waits for an execution that runs.
func (g *Guard) joins(ctx context.Context, r *request) {
	if !r.waited {
		r.waited = true
		g.note(ctx, r, EventJoined)
	}
}
