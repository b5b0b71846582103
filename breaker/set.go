package breaker

import (
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Set holds the circuits of one client, one per address. Make it with New.
// All its methods are safe for concurrent use, and it runs no goroutine.
//
// It remembers only addresses that failed lately, and at most some 16,000 of
// them: those that vanish for ever are forgotten after minutes.
type Set struct {
	opts   Options
	seed   maphash.Seed
	shards [shardCount]shard

	// tracked and open count addresses over all shards.
	tracked atomic.Int64
	open    atomic.Int64
	closed  atomic.Bool
	sweeper sweeper
	changes changes
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
	s.changes.add(o.hooks...)
	return s, nil
}

// AddHook adds a hook to a Set that is in use; see [WithHook]. It stays for as long as
// the Set does. A nil hook is left out.
func (s *Set) AddHook(hook func(Transition)) {
	if hook != nil {
		s.changes.add(hook)
	}
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
	defer sh.mu.RUnlock()
	e := sh.opened[address]
	if e == nil {
		return false, false
	}
	return true, e.refused(&s.opts)
}

// Probe claims the one probe of the running sleep window of address. Whoever
// is granted it should call the address and Report what came of it; one that
// is never reported is lost, and the next window grants another. The probe of
// an address whose circuit is closed is always granted.
//
// retriable says whether the call could be made elsewhere if the address lets
// it time out. One that could not is a forced probe: it is granted in every
// window only of an address that refused dials alone tripped, where nothing is
// sent if it still refuses. Of any other it is granted after 3 sleep windows
// without a probe, then after 6, 12, 24 and then always 30, until the circuit
// closes. So where no traffic may be risked, an instance that recovers is found
// by the first call 30 windows later at the latest, and one that stays frozen
// spoils a call in 30 windows.
func (s *Set) Probe(address string, retriable bool) bool {
	if !s.AnyOpen() {
		return true
	}
	sh := s.shard(address)
	now := s.opts.clock()
	granted := s.probe(sh, address, retriable, now)
	s.changes.deliver()
	s.sweepWhenDue(now)
	return granted
}

func (s *Set) probe(sh *shard, address string, retriable bool, now time.Time) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.opened[address]
	if e == nil {
		return true
	}
	from := e.state
	granted := e.probe(&s.opts, retriable, now)
	s.conclude(sh, address, e, from, Ignored, now)
	return granted
}

// Report tells what an attempt at address showed. It began at start, on the
// Set's clock, and took that long. An attempt that began before the circuit
// last opened or closed does not count, so only a success that began after the
// circuit opened closes it. The success of an address without recent failures
// costs a few ns and no allocation.
func (s *Set) Report(address string, ev Event, start time.Time, took time.Duration) {
	if len(s.opts.eventHooks) > 0 {
		s.showEvent(address, ev, start, took)
	}
	if ev != Success {
		if ev.counts() {
			s.record(address, ev, start)
		}
		return
	}
	if s.tracked.Load() == 0 {
		return
	}
	s.sweepWhenDue(start.Add(took))
	if s.shard(address).knows(address) {
		s.record(address, ev, start)
	}
}

// showEvent calls the hooks that see every event.
func (s *Set) showEvent(address string, ev Event, start time.Time, took time.Duration) {
	if s.closed.Load() {
		return
	}
	for _, hook := range s.opts.eventHooks {
		hook(address, ev, start, took)
	}
}

// record is Report beyond its short cuts.
func (s *Set) record(address string, ev Event, start time.Time) {
	now := s.opts.clock()
	s.recordAt(s.shard(address), address, ev, start, now)
	s.changes.deliver()
	s.sweepWhenDue(now)
}

func (s *Set) recordAt(sh *shard, address string, ev Event, start, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := s.admit(sh, address, ev, now)
	if e == nil {
		return
	}
	from := e.state
	e.record(&s.opts, ev, start, now)
	s.conclude(sh, address, e, from, ev, now)
}

// Stats is a snapshot of a Set, for metrics.
type Stats struct {
	// Tracked addresses are those the Set remembers, Open those among them
	// whose circuit is open or half-open.
	Tracked int
	Open    int
}

// Stats returns a snapshot. Its figures may be of slightly different moments.
func (s *Set) Stats() Stats {
	return Stats{Tracked: int(s.tracked.Load()), Open: int(s.open.Load())}
}

// Close forgets every address, after which all are closed and reports change
// nothing. The hooks see the circuits that it closes. It may be called more
// than once.
func (s *Set) Close() {
	s.closed.Store(true)
	now := s.opts.clock()
	for i := range s.shards {
		s.forgetAll(&s.shards[i], now)
	}
	s.changes.deliver()
}
