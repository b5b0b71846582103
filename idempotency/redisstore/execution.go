package redisstore

import (
	"context"
	"fmt"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// execution is a claim that was acquired.
type execution struct {
	store         *Store
	key           idempotency.StoreKey
	name          string // what Redis calls it
	owner         idempotency.Owner
	ttl           int64 // of the key while it runs, in ms: lease and retention
	retention     int64 // in ms
	releaseMemory int64 // in ms
}

var _ idempotency.Execution = (*execution)(nil)

func (e *execution) acquired(v value) idempotency.Outcome {
	return idempotency.Outcome{State: idempotency.Acquired, Execution: e, Fence: v.fence(), TakenOver: v.taken()}
}

// Context returns ctx.
func (e *execution) Context(ctx context.Context) context.Context { return ctx }

// Renew makes the lease begin anew.
func (e *execution) Renew(ctx context.Context) error {
	_, err := e.run(ctx, "renew", e.store.scripts.renew, []string{e.name}, e.owner[:], e.ttl)
	return err
}

// Complete stores the record and wakes those who wait for it.
func (e *execution) Complete(ctx context.Context, record []byte) error {
	s := e.store
	acknowledged, err := e.run(ctx, "complete", s.scripts.complete, s.keysNamed(e.name),
		e.owner[:], record, e.retention, s.channel(), e.key[:])
	if err != nil {
		return err
	}
	return s.enough(acknowledged)
}

// Release gives the key up and wakes those who wait for it.
func (e *execution) Release(ctx context.Context) error {
	s := e.store
	_, err := e.run(ctx, "release", s.scripts.release, []string{e.name},
		e.owner[:], e.releaseMemory, s.channel(), e.key[:])
	return err
}

// run runs a script that answers 1, or 0 for a key that belongs to another.
func (e *execution) run(
	ctx context.Context, verb string, script script, keys []string, args ...any,
) (acknowledged int, err error) {
	command, acknowledged, err := e.store.runScript(ctx, script, keys, args...)
	if err != nil {
		return 0, fmt.Errorf("redisstore: %s %v: %w", verb, e.key, err)
	}
	mine, err := command.Bool()
	if err != nil {
		return 0, fmt.Errorf("redisstore: %s %v: %w", verb, e.key, err)
	}
	if !mine {
		return 0, idempotency.ErrLost
	}
	return acknowledged, nil
}
