package hystrix

import (
	"fmt"
	"time"
)

const (
	// cooling is how long a closed circuit rests before its name may serve
	// another address: hystrix's rolling window, which is ten buckets of a
	// second and the one that is being filled.
	cooling = 11 * time.Second
	// idleAfter is how long an address of the dashboard must have been idle to
	// lose its circuit, when another needs one.
	idleAfter = 5 * time.Minute
	// searchEvery is how often an exhausted pool is searched again.
	searchEvery = time.Second
)

// pool holds the circuits at rest, and counts those made, of which there are
// never more than its size. Its Mirror is locked.
type pool struct {
	size   int
	prefix string
	made   int
	rested []rest // oldest first
	// retry is until when a search would be in vain.
	retry time.Time
}

type rest struct {
	circuit *circuit
	since   time.Time
}

// exhausted tells whether there was nothing to lease a moment ago.
func (p *pool) exhausted(now time.Time) bool {
	return now.Before(p.retry)
}

// reuse takes a circuit that has rested, or nil.
func (p *pool) reuse(now time.Time) *circuit {
	for len(p.rested) > 0 && now.Sub(p.rested[0].since) >= cooling {
		c := p.rested[0].circuit
		p.rested[0].circuit = nil
		p.rested = p.rested[1:]
		if c.clean() {
			return c
		}
		p.add(c, now)
	}
	return nil
}

func (p *pool) add(c *circuit, now time.Time) {
	p.rested = append(p.rested, rest{circuit: c, since: now})
}

// lease returns the circuit that shows address, or nil when all are taken or
// resting. The Mirror is locked.
func (m *Mirror) lease(address string, now time.Time) *circuit {
	c := m.circuits[address]
	if c == nil {
		if c = m.pool.reuse(now); c == nil {
			c = m.create()
		}
		if c == nil {
			m.reclaim(now)
			m.pool.retry = now.Add(searchEvery)
			return nil
		}
		m.circuits[address] = c
	}
	c.seen.Store(now.UnixNano())
	return c
}

// create makes a new circuit, or returns nil at the limit.
func (m *Mirror) create() *circuit {
	if m.pool.made >= m.pool.size {
		return nil
	}
	c, err := newCircuit(fmt.Sprintf("%s-%d", m.pool.prefix, m.pool.made+1), m.opts.dashboard, &m.dropped)
	if err != nil {
		m.dropped.Add(1)
		return nil
	}
	m.pool.made++
	return c
}

// reclaim lets the circuits of idle addresses rest, to be leased later.
func (m *Mirror) reclaim(now time.Time) {
	for address, c := range m.circuits {
		if !c.openRequested && now.Sub(time.Unix(0, c.seen.Load())) >= idleAfter {
			m.giveBack(address, now)
		}
	}
}

// giveBack takes a closed circuit out of use. The Mirror is locked.
func (m *Mirror) giveBack(address string, now time.Time) {
	m.pool.add(m.circuits[address], now)
	delete(m.circuits, address)
}
