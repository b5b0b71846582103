package wrapper

import (
	"sync"

	"go-micro.dev/v4/client"
)

// callPool lends call states. One is given back only when nothing can touch it
// any more: the call succeeded, every attempt has ended, and the client and its
// call wrappers are go-micro's and ours alone. Any other state is left to the
// garbage collector.
type callPool struct{ pool sync.Pool }

func (p *callPool) get(c *retryClient) *call {
	if s, ok := p.pool.Get().(*call); ok {
		return s
	}
	return newCall(c)
}

func (p *callPool) put(s *call) {
	s.reset()
	p.pool.Put(s)
}

// reusable tells whether nobody else has a hold on the state of a call that
// was answered. The call must be locked.
func (s *call) reusable() bool {
	return s.client.stock && s.alone && s.running == 0
}

// reset forgets the call, and everything of its caller's.
func (s *call) reset() {
	s.ctx, s.req, s.opts, s.asked = nil, nil, nil, asked{}
	s.inner, s.next, s.building = nil, nil, nil
	s.closed, s.alone, s.streaming, s.address = false, false, false, ""
	s.terms, s.unsendable, s.attempts = nil, nil, nil
	s.charged, s.unsent, s.delay, s.backoffErr = 0, 0, 0, nil
	s.space = space{}
	s.first.reset()
	s.nodes.Init(nil, false)
}

var _ client.Client = (*retryClient)(nil)
