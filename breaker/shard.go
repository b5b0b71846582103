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
	// size and open are read without the lock, to spare most calls of it.
	size atomic.Int32
	open atomic.Int32

	mu      sync.RWMutex
	entries map[string]*entry
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

// outcome is what is left to do, once the shard is unlocked, for an entry
// that changed.
type outcome struct {
	change  Transition
	changed bool
	circuit *circuit
	// returned tells that the circuit goes back to the pool.
	returned bool
}

// admit returns the entry that ev of address goes to, or nil when there is
// nothing to remember. It may have to forget another to make room. The shard
// is locked.
func (s *Set) admit(sh *shard, address string, ev Event, now time.Time) (e *entry, evicted outcome) {
	if e = sh.entries[address]; e != nil || s.closed.Load() {
		return e, evicted
	}
	var c *circuit
	if s.opts.dashboard {
		c = s.pool.lease(now)
	}
	if c == nil && !ev.counts() {
		return nil, evicted
	}
	if len(sh.entries) >= shardLimit {
		stalest := sh.stalest()
		evicted = s.forget(sh, stalest, sh.entries[stalest], now)
	}
	if sh.entries == nil {
		sh.entries = make(map[string]*entry)
	}
	e = &entry{circuit: c}
	sh.entries[address] = e
	sh.size.Add(1)
	s.tracked.Add(1)
	return e, evicted
}

// conclude draws the consequences of a change of e, which was in state from.
// The shard is locked.
func (s *Set) conclude(sh *shard, address string, e *entry, from State, ev Event, now time.Time) outcome {
	s.count(sh, from, e.state)
	if e.state != Closed && e.circuit == nil && ev.counts() {
		e.circuit = s.pool.lease(now)
	}
	done := outcome{
		change:  Transition{Address: address, From: from, To: e.state, Event: ev, At: now},
		changed: from != e.state,
		circuit: e.circuit,
	}
	if c := e.circuit; c != nil {
		done.change.Circuit = c.name
		c.wanted.Store(e.state != Closed)
		if e.state == Closed && !s.opts.dashboard {
			done.returned = true
			e.circuit = nil
		}
	}
	if e.blank() {
		s.remove(sh, address)
	}
	return done
}

// forget drops e as if it had never been. The shard is locked.
func (s *Set) forget(sh *shard, address string, e *entry, now time.Time) outcome {
	from := e.state
	s.count(sh, from, Closed)
	s.remove(sh, address)
	done := outcome{
		change:  Transition{Address: address, From: from, To: Closed, Event: Ignored, At: now},
		changed: from != Closed,
		circuit: e.circuit,
	}
	if c := e.circuit; c != nil {
		done.change.Circuit = c.name
		done.returned = true
		c.wanted.Store(false)
	}
	return done
}

func (s *Set) remove(sh *shard, address string) {
	delete(sh.entries, address)
	sh.size.Add(-1)
	s.tracked.Add(-1)
}

// count keeps the numbers of open circuits.
func (s *Set) count(sh *shard, from, to State) {
	switch {
	case from == Closed && to != Closed:
		sh.open.Add(1)
		s.open.Add(1)
	case from != Closed && to == Closed:
		sh.open.Add(-1)
		s.open.Add(-1)
	}
}

// carryOut tells hystrix and the hook. No lock is held.
func (s *Set) carryOut(done outcome) {
	if done.changed || done.returned {
		done.circuit.settle()
	} else {
		done.circuit.nudge()
	}
	if done.returned {
		s.pool.giveBack(done.circuit, done.change.At)
	}
	if done.changed && s.opts.hook != nil {
		s.opts.hook(done.change)
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
