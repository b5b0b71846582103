package memstore

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Lookup implements [idempotency.Inspector]. It never fails.
func (s *Store) Lookup(_ context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	at := s.shardOf(key)
	at.mu.Lock()
	defer at.mu.Unlock()
	now := s.now()
	e := at.entries[key]
	if e == nil || e.expired(now) {
		return idempotency.Entry{Key: key, State: idempotency.Absent}, nil
	}
	shown := e.show(now)
	shown.Record = e.record
	return shown, nil
}

// List implements [idempotency.Inspector], in the order of the claims. It
// collects the keys before it yields the first entry: 40 bytes each.
func (s *Store) List(ctx context.Context, f idempotency.Filter) iter.Seq2[idempotency.Entry, error] {
	return func(yield func(idempotency.Entry, error) bool) {
		left := f.Limit
		for _, selected := range s.selected(f) {
			if ctx.Err() != nil {
				yield(idempotency.Entry{}, context.Cause(ctx))
				return
			}
			e, _ := s.Lookup(ctx, selected.key) // never fails
			if e.Record = nil; !f.Selects(&e) {
				continue // it has changed
			}
			if !yield(e, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// listed is an entry's place in a list.
type listed struct {
	key     idempotency.StoreKey
	claimed int64
}

// selected returns what the filter selects at this moment.
func (s *Store) selected(f idempotency.Filter) []listed {
	var list []listed
	for i := range s.shards {
		at := &s.shards[i]
		at.mu.Lock()
		now := s.now()
		for key, e := range at.entries {
			if e.expired(now) || now-e.claimed < int64(f.OlderThan) {
				continue
			}
			if shown := e.show(now); f.Selects(&shown) {
				list = append(list, listed{key, e.claimed})
			}
		}
		at.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b listed) int { return cmp.Compare(a.claimed, b.claimed) })
	return list
}

// Resolve implements [idempotency.Inspector].
func (s *Store) Resolve(_ context.Context, r idempotency.Resolution) error {
	if err := s.resolve(&r); err != nil {
		return err
	}
	s.makeRoom(r.Key)
	return nil
}

func (s *Store) resolve(r *idempotency.Resolution) error {
	at := s.shardOf(r.Key)
	at.mu.Lock()
	defer at.mu.Unlock()
	now := s.now()
	old := at.entries[r.Key]
	if old == nil || old.expired(now) {
		return idempotency.ErrChanged
	}
	seen := old.show(now)
	switch {
	case old.owner == r.Owner && old.state != running: // the answer was lost
		return nil
	case seen.Seen() != r.Seen:
		return idempotency.ErrChanged
	case seen.State == idempotency.Running && !r.Force:
		return idempotency.ErrLive
	}
	s.remove(at, old)
	if r.Record == nil && r.ReleaseMemory == 0 {
		return nil
	}
	settled := old.resolvedBy(r)
	s.insert(at, settled)
	if r.Record == nil {
		s.move(at, settled, released, r.ReleaseMemory)
	} else {
		settled.keep(at, r.Record)
	}
	return nil
}

// resolvedBy returns an entry that takes the place of e, whose owner cannot reach
// it any more.
func (e *entry) resolvedBy(r *idempotency.Resolution) *entry {
	settled := *e.terms
	settled.retention, settled.releaseMemory = r.Retention, r.ReleaseMemory
	return &entry{
		terms: &settled, store: e.store, key: e.key, owner: r.Owner, fingerprint: e.fingerprint,
		caller: e.caller, callersKey: e.callersKey, attempt: e.attempt, fence: e.fence, claimed: e.claimed,
	}
}

// show returns the entry as operators see it, without its record.
func (e *entry) show(now int64) idempotency.Entry {
	shown := idempotency.Entry{
		Key: e.key, Scope: e.scope(), Owner: e.owner, Fence: e.fence, Instance: e.instance, Attempt: e.attempt,
		Fingerprint: e.fingerprint, ClaimedAt: e.store.timeAt(e.claimed), ExpiresAt: e.store.timeAt(e.until),
	}
	switch e.state {
	case running:
		shown.State = idempotency.Running
		if e.orphaned(now) {
			shown.State = idempotency.Orphaned
		}
		shown.LeaseUntil = shown.ExpiresAt
		shown.ExpiresAt = shown.ExpiresAt.Add(e.retention)
	case done:
		shown.State, shown.EndedAt = idempotency.Done, e.store.timeAt(e.until-int64(e.retention))
	default:
		shown.State, shown.EndedAt = idempotency.Released, e.store.timeAt(e.until-int64(e.releaseMemory))
	}
	return shown
}

// scope returns the scope that the claim named.
func (e *entry) scope() idempotency.Scope {
	return idempotency.Scope{Service: e.service, Endpoint: e.endpoint, Caller: e.caller, Key: e.callersKey}
}

// timeAt returns the time at an age of the store.
func (s *Store) timeAt(age int64) time.Time { return s.epoch.Add(time.Duration(age)).Round(0).UTC() }
