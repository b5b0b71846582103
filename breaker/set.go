package breaker

import (
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Set holds the circuits of one client, one per address. Make it with New.
// All its methods are safe for concurrent use, and it runs no goroutine of its
// own (hystrix runs two for each circuit it shows).
//
// It remembers only addresses that failed lately, and at most some 16,000 of
// them: those that vanish for ever are forgotten after minutes.
type Set struct {
	opts   Options
	pool   *pool
	seed   maphash.Seed
	shards [shardCount]shard

	// tracked and open count addresses over all shards.
	tracked atomic.Int64
	open    atomic.Int64
	dropped atomic.Uint64
	closed  atomic.Bool
	sweeper sweeper
}

// New makes a Set. It returns an error that names the first option that is
// out of range, its value and what is allowed.
func New(opts ...Option) (*Set, error) {
	o := defaults()
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("breaker: nil Option: leave it out instead")
		}
		opt(&o)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Set{opts: o, seed: maphash.MakeSeed()}
	s.pool = newPool(&s.opts, &s.dropped)
	return s, nil
}

// AnyOpen tells whether any circuit is open. It costs one atomic load: ask it
// before asking for each address.
func (s *Set) AnyOpen() bool {
	return s.open.Load() > 0
}

// Open tells whether the circuit of address is open, half-open included, and
// whether refused dials alone suffice to keep it so, which means that nothing
// listens there. An unknown address is closed.
func (s *Set) Open(address string) (open, refused bool) {
	if !s.AnyOpen() {
		return false, false
	}
	sh := s.shard(address)
	if sh.open.Load() == 0 {
		return false, false
	}
	sh.mu.RLock()
	e := sh.entries[address]
	if e == nil || e.state == Closed {
		sh.mu.RUnlock()
		return false, false
	}
	refused = e.refused(&s.opts)
	c := e.circuit
	sh.mu.RUnlock()
	c.nudge()
	return true, refused
}

// Probe claims the one probe of the running sleep window of address. Whoever
// is granted it should call the address and Report what came of it; one that
// is never reported is lost, and the next window grants another.
//
// retriable says whether the call could be retried elsewhere. One that could
// not is granted a probe only of an address that refused dials alone tripped,
// or after three sleep windows in which nobody probed. The probe of an address
// whose circuit is closed is always granted.
func (s *Set) Probe(address string, retriable bool) bool {
	if !s.AnyOpen() {
		return true
	}
	sh := s.shard(address)
	now := s.opts.clock()
	sh.mu.Lock()
	e := sh.entries[address]
	if e == nil || e.state == Closed {
		sh.mu.Unlock()
		return true
	}
	from := e.state
	granted := e.probe(&s.opts, retriable, now)
	done := s.conclude(sh, address, e, from, Ignored, now)
	sh.mu.Unlock()
	s.carryOut(done)
	s.sweepWhenDue(now)
	return granted
}

// Report tells what an attempt at address showed. It began at start, on the
// Set's clock, and took that long. An attempt that began before the circuit
// last opened or closed does not count, so only a success that began after the
// circuit opened closes it. The success of an address without recent failures
// costs a few ns and no allocation.
func (s *Set) Report(address string, ev Event, start time.Time, took time.Duration) {
	if s.opts.dashboard {
		s.record(address, ev, start, took)
		return
	}
	if ev.counts() {
		s.record(address, ev, start, took)
		return
	}
	if ev != Success || s.tracked.Load() == 0 {
		return
	}
	s.sweepWhenDue(start.Add(took))
	if s.shard(address).knows(address) {
		s.record(address, ev, start, took)
	}
}

// record is Report beyond its short cuts.
func (s *Set) record(address string, ev Event, start time.Time, took time.Duration) {
	now := s.opts.clock()
	sh := s.shard(address)
	sh.mu.Lock()
	e, evicted := s.admit(sh, address, ev, now)
	if e == nil {
		sh.mu.Unlock()
		return
	}
	from := e.state
	e.record(&s.opts, ev, start, now)
	done := s.conclude(sh, address, e, from, ev, now)
	sh.mu.Unlock()

	if s.opts.dashboard {
		done.circuit.report(ev, start, took)
	}
	s.carryOut(evicted)
	s.carryOut(done)
	s.sweepWhenDue(now)
}

// Circuit names the hystrix circuit that shows address. It is false when none
// does: the address is healthy and WithDashboard is off, or the pool of names
// is exhausted.
func (s *Set) Circuit(address string) (name string, ok bool) {
	sh := s.shard(address)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if e := sh.entries[address]; e != nil && e.circuit != nil {
		return e.circuit.name, true
	}
	return "", false
}

// Stats is a snapshot of a Set, for metrics.
type Stats struct {
	// Tracked addresses are those the Set remembers, Open those among them
	// whose circuit is open or half-open.
	Tracked int
	Open    int
	// Circuits is how many hystrix circuits were made; never more than
	// WithPoolSize.
	Circuits int
	// Dropped is how many events hystrix did not take, because its queue of
	// metrics was full. They are missing in its figures only.
	Dropped uint64
}

// Stats returns a snapshot. Its figures may be of slightly different moments.
func (s *Set) Stats() Stats {
	return Stats{
		Tracked:  int(s.tracked.Load()),
		Open:     int(s.open.Load()),
		Circuits: s.pool.count(),
		Dropped:  s.dropped.Load(),
	}
}

// Close forgets every address, after which all are closed and reports change
// nothing, and closes the hystrix circuits this Set opened, which remain in
// hystrix, idle. It may be called more than once.
func (s *Set) Close() {
	s.closed.Store(true)
	now := s.opts.clock()
	for i := range s.shards {
		for _, done := range s.empty(&s.shards[i], now) {
			s.carryOut(done)
		}
	}
}
