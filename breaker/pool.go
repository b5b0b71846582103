package breaker

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// cooling is how long a closed circuit rests before its name may serve
// another address: hystrix's rolling window, which is ten buckets of a second
// and the one that is being filled.
const cooling = 11 * time.Second

// pool lends hystrix circuits, of which it never makes more than its size.
type pool struct {
	opts    *Options
	prefix  string
	dropped *atomic.Uint64

	mu     sync.Mutex
	made   int
	rested []rest // oldest first
}

type rest struct {
	circuit *circuit
	since   time.Time
}

func newPool(o *Options, dropped *atomic.Uint64) *pool {
	return &pool{opts: o, prefix: o.namePrefix + "-" + rand.Text()[:12], dropped: dropped}
}

// lease returns a circuit, or nil when all are taken or resting.
func (p *pool) lease(now time.Time) *circuit {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.reuse(now); c != nil {
		return c
	}
	if p.made >= p.opts.poolSize {
		return nil
	}
	p.made++
	return newCircuit(fmt.Sprintf("%s-%d", p.prefix, p.made), p.opts, p.dropped)
}

func (p *pool) reuse(now time.Time) *circuit {
	for len(p.rested) > 0 && now.Sub(p.rested[0].since) >= cooling {
		c := p.rested[0].circuit
		p.rested[0].circuit = nil
		p.rested = p.rested[1:]
		if c.clean() {
			return c
		}
		p.rested = append(p.rested, rest{circuit: c, since: now})
	}
	return nil
}

// giveBack takes a closed circuit out of use at now.
func (p *pool) giveBack(c *circuit, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rested = append(p.rested, rest{circuit: c, since: now})
}

// count returns how many circuits were made.
func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}
