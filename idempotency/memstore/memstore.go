package memstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ErrFull is returned by Begin when the store holds as many running claims as
// it may hold entries.
var ErrFull = errors.New("memstore: full of running claims; raise WithMaxEntries or shed load")

// Store is an [idempotency.Store], [idempotency.Watcher] and
// [idempotency.Inspector]. It is safe for concurrent use, needs no closing, and
// has no goroutines.
type Store struct {
	settings
	epoch   time.Time // when the store was made
	shards  [shardCount]shard
	entries atomic.Int64
	bytes   atomic.Int64
}

var (
	_ idempotency.Store     = (*Store)(nil)
	_ idempotency.Watcher   = (*Store)(nil)
	_ idempotency.Inspector = (*Store)(nil)
)

// New returns an empty store. The error names the option that is wrong, its
// value and what is allowed.
func New(options ...Option) (*Store, error) {
	o, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	return &Store{settings: o, epoch: o.clock()}, nil
}

// ID returns the empty string: nobody else shares this memory.
func (s *Store) ID(context.Context) (string, error) { return "", nil }

// Begin implements [idempotency.Store]. It never blocks, and its only error is
// [ErrFull], which is [idempotency.ErrNotApplied] too.
func (s *Store) Begin(_ context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	at := s.shardOf(c.Key)
	at.mu.Lock()
	out, added := s.begin(at, &c, s.now())
	at.mu.Unlock()
	if added != nil && !s.makeRoom(c.Key) {
		s.takeBack(added)
		return idempotency.Outcome{}, idempotency.NotApplied(ErrFull)
	}
	return out, nil
}

// begin decides under the shard's lock. added is the entry that was not there
// before.
func (s *Store) begin(at *shard, c *idempotency.Claim, now int64) (_ idempotency.Outcome, added *entry) {
	s.sweep(at, now)
	old := at.entries[c.Key]
	if old != nil && old.expired(now) {
		s.remove(at, old)
		old = nil
	}
	if old == nil {
		e := s.newEntry(at, c, now)
		s.insert(at, e)
		return e.acquired(), e
	}
	if old.state == done { // as most claims find it, whoever makes them
		return old.answer(idempotency.Done), nil
	}
	found := old.held(now)
	switch state, fence, takenOver := found.ClaimedBy(c); {
	case state != idempotency.Acquired:
		return old.answer(state), nil
	case fence == old.fence: // the claim's own
		return old.acquired(), nil
	default: // in its place, for which there is room
		e := s.newEntry(at, c, now)
		e.fence, e.takenOver = fence, takenOver
		s.remove(at, old)
		s.insert(at, e)
		return e.acquired(), nil
	}
}

// Watch implements [idempotency.Watcher]. It never fails.
func (s *Store) Watch(_ context.Context, key idempotency.StoreKey) (<-chan struct{}, func(), error) {
	at := s.shardOf(key)
	wake := make(chan struct{}, 1)
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.watches == nil {
		at.watches = make(map[idempotency.StoreKey]map[chan struct{}]struct{})
	}
	if at.watches[key] == nil {
		at.watches[key] = make(map[chan struct{}]struct{})
	}
	at.watches[key][wake] = struct{}{}
	stop := func() {
		at.mu.Lock()
		defer at.mu.Unlock()
		delete(at.watches[key], wake)
		if len(at.watches[key]) == 0 {
			delete(at.watches, key)
		}
	}
	return wake, stop, nil
}

// Len returns the number of claims and records that the store holds, expired
// ones that were not swept yet included.
func (s *Store) Len() int { return int(s.entries.Load()) }

// now is the age of the store. Where the clock has a monotonic part, as time.Now
// has, a host whose time is set anew ends no lease and forgets no record.
func (s *Store) now() int64 { return int64(s.clock().Sub(s.epoch)) }

// makeRoom forgets the oldest records until the bounds are kept, beginning
// with another shard than the key's own. It reports whether the number of
// entries is within its bound.
func (s *Store) makeRoom(key idempotency.StoreKey) bool {
	for i := 1; i <= shardCount && s.over(); i++ {
		at := &s.shards[(int(key[0])+i)%shardCount]
		at.mu.Lock()
		for s.over() && s.evict(at) {
			continue
		}
		at.mu.Unlock()
	}
	return s.entries.Load() <= s.maxEntries
}

func (s *Store) over() bool {
	return s.entries.Load() > s.maxEntries || s.bytes.Load() > s.maxBytes
}

// evict forgets the oldest record of a shard, or the oldest release.
func (s *Store) evict(at *shard) bool {
	for _, state := range [...]state{done, released} {
		if oldest := at.order[state].first; oldest != nil {
			s.remove(at, oldest)
			return true
		}
	}
	return false
}

// takeBack removes a claim that there was no room for.
func (s *Store) takeBack(e *entry) {
	at := s.shardOf(e.key)
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.entries[e.key] == e {
		s.remove(at, e)
	}
}

// sweep forgets what has expired, a little with each claim, so that no call
// pays for all.
func (s *Store) sweep(at *shard, now int64) {
	const most = 4
	for _, state := range [...]state{done, released, running} {
		for range most {
			oldest := at.order[state].first
			if oldest == nil || !oldest.expired(now) {
				break
			}
			s.remove(at, oldest)
		}
	}
}

func (s *Store) insert(at *shard, e *entry) {
	if at.entries == nil {
		at.entries = make(map[idempotency.StoreKey]*entry)
	}
	at.entries[e.key] = e
	at.order[e.state].push(e)
	s.entries.Add(1)
}

func (s *Store) remove(at *shard, e *entry) {
	delete(at.entries, e.key)
	at.order[e.state].drop(e)
	s.entries.Add(-1)
	s.bytes.Add(-int64(len(e.record)))
	at.wake(e.key)
}

// move changes an entry's state, to be kept for so long, and wakes those who
// watch it.
func (s *Store) move(at *shard, e *entry, to state, keep time.Duration) {
	at.order[e.state].drop(e)
	e.state, e.until = to, s.now()+int64(keep)
	at.order[to].push(e)
	at.wake(e.key)
}
