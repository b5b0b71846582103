package hystrix

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
)

// Mirror shows the circuits of one breaker.Set in hystrix-go. Make it with
// NewMirror and give its Option to breaker.New. All its methods are safe for
// concurrent use.
//
// hystrix digests what it is told in its own time, so a circuit that opens is
// shown a moment later. Until then, and for 11 s at most, the Mirror runs one
// goroutine, which Close ends. hystrix itself runs two for each circuit.
type Mirror struct {
	opts    Options
	now     func() time.Time
	dropped atomic.Uint64
	poller  sync.WaitGroup
	stop    chan struct{}

	// mu is held for writing to change what follows, and for reading while an
	// event is passed on, so that none is reported in the middle of a change.
	mu       sync.RWMutex
	circuits map[string]*circuit // by address
	pool     pool
	pending  []*circuit // told to open, and not yet shown so
	polling  bool
	closed   bool
}

// NewMirror makes a Mirror. It returns an error that names the first option
// that is out of range, its value and what is allowed.
func NewMirror(opts ...Option) (*Mirror, error) {
	return newMirror(time.Now, opts)
}

// newMirror makes a Mirror whose names rest by the clock now.
func newMirror(now func() time.Time, opts []Option) (*Mirror, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	return &Mirror{
		opts: o, now: now, stop: make(chan struct{}), circuits: make(map[string]*circuit),
		pool: pool{size: o.poolSize, prefix: o.namePrefix + "-" + rand.Text()[:12]},
	}, nil
}

// Option makes the Set that it is given to show itself in this Mirror. Give it
// to one Set only: two would overwrite each other's circuits of one address.
func (m *Mirror) Option() breaker.Option {
	return func(o *breaker.Options) {
		breaker.WithHook(m.show)(o)
		if m.opts.dashboard {
			breaker.WithEventHook(m.report)(o)
		}
	}
}

// show brings the hystrix circuit of an address to where a transition went.
func (m *Mirror) show(t breaker.Transition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	now := m.now()
	if t.To == breaker.Closed {
		m.showClosed(t.Address, now)
		return
	}
	c := m.lease(t.Address, now)
	if c == nil {
		return
	}
	if t.From == breaker.Closed {
		c.sleep = t.NextProbe.Sub(t.At)
	}
	if c.syncOpen(now); !c.shown {
		m.await(c)
	}
}

// showClosed closes the hystrix circuit of address. Without a dashboard the
// address needs it no longer. The Mirror is locked.
func (m *Mirror) showClosed(address string, now time.Time) {
	c := m.circuits[address]
	if c == nil {
		return
	}
	c.close()
	if !m.opts.dashboard {
		m.giveBack(address, now)
	}
}

// report passes one event on, for the dashboard.
func (m *Mirror) report(address string, ev breaker.Event, start time.Time, took time.Duration) {
	now := m.now()
	if m.pass(address, ev, start, took, now) {
		return
	}
	m.mu.Lock()
	leased := !m.closed && m.lease(address, now) != nil
	m.mu.Unlock()
	if leased {
		m.pass(address, ev, start, took, now)
	}
}

// pass passes one event on, or returns false if the address first has to lease
// a circuit and may get one.
func (m *Mirror) pass(address string, ev breaker.Event, start time.Time, took time.Duration, now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.circuits[address]
	if c == nil {
		return m.closed || m.pool.exhausted(now)
	}
	c.report(ev, start, took, now)
	return true
}

// Circuit names the hystrix circuit that shows address. It is false when none
// does: the address is healthy and WithDashboard is off, or the pool of names
// is exhausted.
func (m *Mirror) Circuit(address string) (name string, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if c := m.circuits[address]; c != nil {
		return c.name, true
	}
	return "", false
}

// Stats is a snapshot of a Mirror, for metrics.
type Stats struct {
	// Circuits is how many hystrix circuits were made; never more than
	// WithPoolSize.
	Circuits int
	// Dropped is how many events hystrix did not take, because its queue of
	// metrics was full. They are missing in its figures only.
	Dropped uint64
}

// Stats returns a snapshot. Its figures may be of slightly different moments.
func (m *Mirror) Stats() Stats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return Stats{Circuits: m.pool.made, Dropped: m.dropped.Load()}
}

// Close closes the hystrix circuits that this Mirror opened, which remain in
// hystrix, idle, and ends its goroutine. What the Set decides afterwards is not
// shown. It may be called more than once.
func (m *Mirror) Close() {
	if m.shut() {
		close(m.stop)
	}
	m.poller.Wait()
}

// shut closes all circuits, or returns false if they are closed already.
func (m *Mirror) shut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.closed = true
	for _, c := range m.circuits {
		c.close()
	}
	clear(m.circuits)
	return true
}
