package breaker

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shardCount = 32
	// shardLimit bounds what a shard remembers, however fast addresses come.
	shardLimit = 512
)

// shard holds the entries of some of the addresses.
type shard struct {
	// size and open are the lengths of the maps, read without the lock to spare
	// most calls of it.
	size atomic.Int32
	open atomic.Int32

	mu      sync.RWMutex
	entries map[string]*entry
	opened  map[string]*entry // those that are not closed
}

func (s *Set) shard(address string) *shard {
	return &s.shards[maphash.String(s.seed, address)%shardCount]
}

func (sh *shard) knows(address string) bool {
	if sh.size.Load() == 0 {
		return false
	}
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.entries[address] != nil
}

// admit returns the entry that ev of address goes to, or nil when there is
// nothing to remember. It may have to forget another to make room. The shard
// is locked.
func (s *Set) admit(sh *shard, address string, ev Event, now time.Time) *entry {
	if e := sh.entries[address]; e != nil {
		return e
	}
	if s.closed.Load() || !ev.counts() {
		return nil
	}
	if len(sh.entries) >= shardLimit {
		stalest := sh.stalest()
		s.forget(sh, stalest, sh.entries[stalest], now)
	}
	if sh.entries == nil {
		sh.entries = make(map[string]*entry)
	}
	e := new(entry)
	sh.entries[address] = e
	sh.size.Add(1)
	s.tracked.Add(1)
	return e
}

// conclude draws the consequences of a change of e, which was in state from.
// The shard is locked.
func (s *Set) conclude(sh *shard, address string, e *entry, from State, ev Event, now time.Time) {
	if e.blank() {
		s.remove(sh, address)
	}
	if from == e.state {
		return
	}
	s.index(sh, address, e, from)
	s.changes.push(Transition{
		Address: address, From: from, To: e.state, Event: ev, At: now, NextProbe: e.nextProbe(&s.opts),
	})
}

// forget drops e as if it had never been. The shard is locked.
func (s *Set) forget(sh *shard, address string, e *entry, now time.Time) {
	from := e.state
	*e = entry{}
	s.conclude(sh, address, e, from, Ignored, now)
}

func (s *Set) remove(sh *shard, address string) {
	delete(sh.entries, address)
	sh.size.Add(-1)
	s.tracked.Add(-1)
}

// index keeps the open circuits and their numbers.
func (s *Set) index(sh *shard, address string, e *entry, from State) {
	switch {
	case from == Closed:
		if sh.opened == nil {
			sh.opened = make(map[string]*entry)
		}
		sh.opened[address] = e
		sh.open.Add(1)
		s.open.Add(1)
	case e.state == Closed:
		delete(sh.opened, address)
		sh.open.Add(-1)
		s.open.Add(-1)
	}
}

// stalest returns the address that mattered least lately.
func (sh *shard) stalest() string {
	var (
		address string
		oldest  *entry
	)
	for a, e := range sh.entries {
		if oldest == nil || e.seen.Before(oldest.seen) {
			address, oldest = a, e
		}
	}
	return address
}
