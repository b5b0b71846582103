package memstore

import (
	"context"
	"fmt"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// state is where an entry stands. An orphan is a running entry whose time is up.
type state uint8

const (
	running state = iota
	done
	released
	states
)

// entry is one claim, and the [idempotency.Execution] that came of it: it owns
// its key as long as the shard's map leads to it, so that an owner is never
// compared after the claim. All but the constant part is under the shard's lock.
type entry struct {
	*terms
	store       *Store
	key         idempotency.StoreKey
	owner       idempotency.Owner
	fingerprint idempotency.Fingerprint
	takenOver   bool
	state       state  // not constant
	caller      string // of the scope
	callersKey  string // of the scope
	attempt     int64
	fence       uint64
	claimed     int64

	until          int64 // the end of the lease, or of the entry
	record         []byte
	before, behind *entry // in the queue of its state
}

// newEntry makes the entry of a claim, under the shard's lock.
func (s *Store) newEntry(at *shard, c *idempotency.Claim, now int64) *entry {
	return &entry{
		terms: at.termsOf(c), store: s, key: c.Key, owner: c.Owner, fingerprint: c.Fingerprint,
		caller: c.Scope.Caller, callersKey: c.Scope.Key, attempt: c.Attempt, fence: 1,
		claimed: now, until: now + int64(c.Lease),
	}
}

func (e *entry) orphaned(now int64) bool { return e.state == running && e.until <= now }

// expired reports whether the entry may be forgotten.
func (e *entry) expired(now int64) bool {
	if e.state == running {
		return e.until+int64(e.retention) <= now
	}
	return e.until <= now
}

func (e *entry) acquired() idempotency.Outcome {
	return idempotency.Outcome{
		State: idempotency.Acquired, Execution: e, Fence: e.fence, TakenOver: e.takenOver,
	}
}

// Context returns ctx.
func (e *entry) Context(ctx context.Context) context.Context { return ctx }

// Renew makes the lease begin anew.
func (e *entry) Renew(context.Context) error {
	at := e.store.shardOf(e.key)
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.entries[e.key] != e || e.state != running {
		return idempotency.ErrLost
	}
	at.order[running].drop(e)
	e.until = e.store.now() + int64(e.lease)
	at.order[running].push(e)
	return nil
}

// Complete makes the key done.
func (e *entry) Complete(_ context.Context, record []byte) error {
	if err := e.complete(record); err != nil {
		return err
	}
	e.store.makeRoom(e.key)
	return nil
}

func (e *entry) complete(record []byte) error {
	at := e.store.shardOf(e.key)
	at.mu.Lock()
	defer at.mu.Unlock()
	if e.state == done {
		return nil
	}
	if at.entries[e.key] != e || e.state != running {
		return idempotency.ErrLost
	}
	e.keep(at, record)
	return nil
}

// keep makes the entry done with a record, under the shard's lock.
func (e *entry) keep(at *shard, record []byte) {
	if int64(len(record)) > e.store.maxBytes {
		record = dropped(len(record))
	}
	e.record = record
	e.store.bytes.Add(int64(len(record)))
	e.store.move(at, e, done, e.retention)
}

// dropped stands in for a record for which there is no room, even if all others
// were forgotten: the call must not run again.
func dropped(size int) []byte {
	reason := fmt.Sprintf("%d bytes, more than the store holds", size)
	return idempotency.Record{Content: idempotency.ContentDropped, Body: []byte(reason)}.Encode()
}

// Release gives the key up.
func (e *entry) Release(context.Context) error {
	at := e.store.shardOf(e.key)
	at.mu.Lock()
	defer at.mu.Unlock()
	switch holder := at.entries[e.key]; {
	case e.state == released:
		return nil
	case e.state == done, holder != nil && holder != e:
		return idempotency.ErrLost
	case holder == nil: // forgotten
		return nil
	case e.releaseMemory == 0:
		e.store.remove(at, e)
		e.state = released
	default:
		e.store.move(at, e, released, e.releaseMemory)
	}
	return nil
}
