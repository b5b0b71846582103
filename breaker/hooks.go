package breaker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// changes hands transitions to the hooks in the order in which they happened,
// one at a time and without a lock. A goroutine that finds another one at it
// leaves its own transitions to that one.
type changes struct {
	hooks atomic.Pointer[[]func(Transition)]

	waiting atomic.Int64 // the length of queue, read without the lock

	mu      sync.Mutex
	queue   []Transition
	calling bool
}

// push queues a transition. The caller may hold the lock that orders it.
func (c *changes) push(t Transition) {
	if c.hooks.Load() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, t)
	c.waiting.Add(1)
}

// deliver calls the hooks until nothing is queued. The caller holds no lock.
// If a hook panics, what is still queued is left to the next deliver.
func (c *changes) deliver() {
	for c.waiting.Load() > 0 {
		t, ok := c.take()
		if !ok {
			return
		}
		c.call(t)
	}
}

// take removes the oldest transition, unless another goroutine is calling the
// hooks.
func (c *changes) take() (t Transition, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calling || len(c.queue) == 0 {
		return t, false
	}
	t = c.queue[0]
	c.queue = c.queue[1:]
	c.waiting.Add(-1)
	c.calling = true
	return t, true
}

func (c *changes) call(t Transition) {
	defer c.release()
	for _, hook := range *c.hooks.Load() {
		hook(t)
	}
}

// add adds a hook to those that there are.
func (c *changes) add(hooks ...func(Transition)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(hooks) == 0 {
		return
	}
	var all []func(Transition)
	if before := c.hooks.Load(); before != nil {
		all = slices.Clone(*before)
	}
	all = append(all, hooks...)
	c.hooks.Store(&all)
}

func (c *changes) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calling = false
}
