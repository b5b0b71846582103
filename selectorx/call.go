package selectorx

import (
	"slices"
	"sync"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// Call is the node-switching state of one logical call. Get it from
// Balancer.NewCall, or embed it in a longer-lived struct and call Init for
// each call. Its zero value switches nodes, ejects nothing and is not
// retriable. It is safe for concurrent use, Init excepted, and must not be
// copied after first use.
type Call struct {
	balancer  *Balancer
	retriable bool

	mu       sync.Mutex
	inner    selector.Strategy
	kind     strategyKind // inner's
	services []*registry.Service
	offered  *snapshot     // what the selector selects from, if it is a Flat
	snapshot *snapshot     // the same, once a node was picked
	picked   member        // the one that was picked last, if it was drawn
	first    selector.Next // inner's on services
	tried    []string      // only ever appended to
	last     string

	room  [4]string // for tried
	bound bound
}

// bound are c's methods as values, made once: a Call that is used again gives
// them out without allocating.
type bound struct {
	strategy selector.Strategy
	next     selector.Next
	option   selector.SelectOption
}

// Init makes c the state of a new call, of b's ejector and cap (nil: none). No
// attempt of the call that c was before may still be running. It does not
// allocate.
func (c *Call) Init(b *Balancer, retriable bool) {
	clear(c.room[:])
	c.balancer, c.retriable = b, retriable
	c.inner, c.kind, c.services, c.first = nil, strategyRandom, nil, nil
	c.offered, c.snapshot, c.picked = nil, nil, member{}
	c.tried, c.last = c.room[:0], ""
}

// Strategy returns inner with this call's rules around it. A nil inner is
// go-micro's Random. The node that its Next returns is marked as tried. The
// strategy given last, and the services it last ran on, are in force for all
// of the call: make a Call for each logical call, and never give it a strategy
// of its own.
func (c *Call) Strategy(inner selector.Strategy) selector.Strategy {
	return c.around(inner, nil)
}

// around is Strategy for a selection of what a Flat offers.
func (c *Call) around(inner selector.Strategy, offered *snapshot) selector.Strategy {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner, c.kind, c.offered = inner, offered.kindOf(inner), offered
	if inner == nil {
		c.inner = selector.Random
	}
	if c.bound.strategy == nil {
		c.bound.strategy, c.bound.next = c.run, c.pick
	}
	return c.bound.strategy
}

// SelectOption returns an option for selector.Select that wraps whatever
// strategy the options before it chose, instead of replacing it.
func (c *Call) SelectOption() selector.SelectOption {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bound.option == nil {
		c.bound.option = func(o *selector.SelectOptions) { o.Strategy = c.around(o.Strategy, snapshotOf(o)) }
	}
	return c.bound.option
}

// MarkTried records that address is being tried, for attempts whose node was
// chosen by others.
func (c *Call) MarkTried(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = address
	if !slices.Contains(c.tried, address) {
		c.tried = append(c.tried, address)
	}
}

// Tried tells whether this call has tried address.
func (c *Call) Tried(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.tried, address)
}

// Accepts tells whether address is a node for the next attempt: one that this
// call has not tried and that is not ejected, or is due for a probe, which is
// then claimed. The cap does not apply, since the other candidates are not asked.
func (c *Call) Accepts(address string) bool {
	if c.Tried(address) {
		return false
	}
	if !c.balancer.anyOpen() {
		return true
	}
	if open, _ := c.balancer.ejector.Open(address); !open {
		return true
	}
	return c.probes(address)
}

// probes claims the probe of an ejected address, if it is due.
func (c *Call) probes(address string) bool {
	c.mu.Lock()
	retriable := c.retriable
	c.mu.Unlock()
	return c.balancer.ejector.Probe(address, retriable)
}

// Untried tells whether the next attempt finds an admitted node that this
// call has not tried, so that it need not wait. It is false before any
// candidates are known, and where the only untried nodes are ejected.
func (c *Call) Untried() bool { return c.drawsUntried() || c.UntriedAmong(c.Services()) }

// UntriedAmong is Untried for other candidates than those that are in force.
func (c *Call) UntriedAmong(services []*registry.Service) bool {
	c.mu.Lock()
	attempted, latest := c.tried, c.last
	c.mu.Unlock()
	var room [rateRoom]mark
	return c.rateNodes(room[:0], services, attempted, latest).some(maskUntried)
}

// Elsewhere tells whether there is a node that this call has not tried, ejected or
// not.
func (c *Call) Elsewhere() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snapshot.holds(c.services) && len(c.snapshot.members) > len(c.tried) {
		return true
	}
	for _, service := range c.services {
		for _, node := range nodesOf(service) {
			if isUsable(node) && !slices.Contains(c.tried, node.Address) {
				return true
			}
		}
	}
	return false
}

// Consider makes services the candidates of this call, where they were chosen
// from by others.
func (c *Call) Consider(services []*registry.Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services = services
}

// Services returns the candidates of this call: what the strategy last ran on,
// or the nodes last given to Substitute as those of one nameless service. They
// belong to go-micro and to c: do not change them, nor keep them beyond the
// call.
func (c *Call) Services() []*registry.Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.services
}
