package selectorx

import (
	"math/rand/v2"
	"slices"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	regutil "go-micro.dev/v4/util/registry"
)

// run is c's strategy: it notes the candidates. inner is asked at each pick,
// and for the first of them here: go-micro picks in a new goroutine for each
// attempt, whose stack would have to grow for what inner allocates.
func (c *Call) run(services []*registry.Service) selector.Next {
	c.mu.Lock()
	inner, kind, offered := c.inner, c.kind, c.offered
	c.mu.Unlock()
	whole := offered.holds(services)
	if whole && !kind.careful() {
		services = regutil.Copy(services)
	}
	var first selector.Next
	if (!whole || !kind.samples()) && !slices.Contains(services, nil) {
		first = inner(services)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services, c.first, c.snapshot = services, first, offered
	return c.bound.next
}

// Pick returns the node of the next attempt, among the nodes of services and by
// the rules of the package, with inner (nil: go-micro's Random) for the choice
// among those left, and marks it as tried. services are in force as those of
// Strategy are. retriable says whether the call can be made elsewhere if this
// attempt fails, which lets it probe an ejected node. The error is inner's, or
// selector.ErrNoneAvailable.
func (c *Call) Pick(services []*registry.Service, inner selector.Strategy, retriable bool) (*registry.Node, error) {
	return c.pickOf(services, nil, inner, retriable)
}

// PickFrom is Pick for what a selection leaves to choose from. Where that is all the
// nodes that a Flat knows, and its strategy is known to need no look at each of them,
// it costs the same whatever their number.
func (c *Call) PickFrom(choice *Choice, retriable bool) (*registry.Node, error) {
	return c.pickOf(choice.services, choice.snapshot, choice.inner, retriable)
}

// PickAmong is PickFrom for a part of the choice's candidates. All of them stay those
// of the call.
func (c *Call) PickAmong(part []*registry.Service, choice *Choice, retriable bool) (*registry.Node, error) {
	node, err := c.pickOf(part, nil, choice.inner, retriable)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services, c.snapshot, c.kind = choice.services, choice.snapshot, choice.snapshot.kindOf(choice.inner)
	return node, err
}

func (c *Call) pickOf(
	services []*registry.Service, offered *snapshot, inner selector.Strategy, retriable bool,
) (*registry.Node, error) {
	c.mu.Lock()
	c.inner, c.kind, c.services, c.first, c.retriable = inner, offered.kindOf(inner), services, nil, retriable
	c.snapshot = offered
	if c.kind == strategyRandom {
		c.inner = nil
	}
	inner, attempted := c.inner, c.tried
	c.mu.Unlock()
	if node := c.draw(); node != nil {
		return node, nil
	}
	if len(attempted) > 0 || c.balancer.anyOpen() || slices.Contains(services, nil) {
		return c.pickAgain()
	}
	node, err := firstOf(services, inner)
	if err != nil {
		return nil, err
	}
	if !isUsable(node) {
		return c.pickAgain()
	}
	c.MarkTried(node.Address)
	return node, nil
}

// firstOf asks inner for a node; nil is random. Services without any nodes have
// none.
func firstOf(services []*registry.Service, inner selector.Strategy) (*registry.Node, error) {
	if inner != nil {
		return inner(services)()
	}
	n := countNodes(services)
	if n == 0 {
		return nil, selector.ErrNoneAvailable
	}
	i := rand.IntN(n)
	for _, service := range services {
		if i < len(service.Nodes) {
			return service.Nodes[i], nil
		}
		i -= len(service.Nodes)
	}
	return nil, selector.ErrNoneAvailable
}

// pick returns the node of the next attempt and marks it as tried.
func (c *Call) pick() (*registry.Node, error) {
	if node := c.draw(); node != nil {
		return node, nil
	}
	c.mu.Lock()
	first, attempted := c.first, c.tried
	c.mu.Unlock()
	if first != nil && len(attempted) == 0 && !c.balancer.anyOpen() {
		node, err := first()
		if err != nil {
			return nil, err
		}
		if isUsable(node) {
			c.MarkTried(node.Address)
			return node, nil
		}
	}
	return c.pickAgain()
}

// pickAgain is pick where there is something to consider.
func (c *Call) pickAgain() (*registry.Node, error) {
	c.mu.Lock()
	inner, services, attempted, latest := c.inner, c.services, c.tried, c.last
	c.mu.Unlock()
	var room [rateRoom]mark
	m := c.rateNodes(room[:0], services, attempted, latest)
	node, err := c.choose(m, services, inner, len(attempted) == 0)
	if err != nil {
		return nil, err
	}
	c.MarkTried(node.Address)
	return node, nil
}

// Substitute is the strategy for nodes that bypass strategies, as those of
// client.WithAddress do: it returns which of them the next attempt should go
// to, by the same rules and at random among the nodes left, and marks it as
// tried. It returns nil if nodes holds none with an address. nodes is not
// changed; it may be read until the call is over.
func (c *Call) Substitute(nodes []*registry.Node) *registry.Node {
	services := []*registry.Service{{Nodes: nodes}}
	c.mu.Lock()
	c.services = services
	attempted, latest := c.tried, c.last
	c.mu.Unlock()

	var room [rateRoom]mark
	m := c.rateNodes(room[:0], services, attempted, latest)
	node, err := c.choose(m, services, nil, len(attempted) == 0)
	if err != nil {
		return nil
	}
	c.MarkTried(node.Address)
	return node
}

// choose goes down the tiers until one has a node and inner takes it. A nil
// inner takes any.
func (c *Call) choose(m marks, services []*registry.Service, inner selector.Strategy, first bool) (*registry.Node, error) {
	if first || !m.some(maskUntried) {
		if node := c.probe(m, services, inner); node != nil {
			return node, nil
		}
	}
	failure := selector.ErrNoneAvailable
	for _, tier := range [...]mark{maskUntried, maskRefusedUntried, maskNotLast, maskAdmitted, maskUsable} {
		if !m.some(tier) {
			continue
		}
		node, err := m.ask(services, tier, inner)
		if err == nil {
			return node, nil
		}
		failure = err
	}
	return nil, failure
}

// probe returns a node that is ejected and untried and grants a probe, unless
// inner answers with an error when given that node alone.
func (c *Call) probe(m marks, services []*registry.Service, inner selector.Strategy) *registry.Node {
	i := 0
	for _, service := range services {
		for _, node := range nodesOf(service) {
			k := m[i]
			i++
			if k&(unusable|tried) != 0 || k&(ejected|refused) == 0 || !c.probes(node.Address) {
				continue
			}
			if inner == nil {
				return node
			}
			only := *service
			only.Nodes = []*registry.Node{node}
			if _, err := inner([]*registry.Service{&only})(); err == nil {
				return node
			}
		}
	}
	return nil
}

// ask lets inner choose among the nodes left in the tier. If it answers with
// anything else, one of them is taken at random.
func (m marks) ask(services []*registry.Service, tier mark, inner selector.Strategy) (*registry.Node, error) {
	if inner == nil {
		return m.random(services, tier), nil
	}
	left := m.left(services, tier)
	node, err := inner(left)()
	if err != nil {
		return nil, err
	}
	if node == nil || !m.holds(services, tier, node.Address) {
		return m.random(services, tier), nil
	}
	return node, nil
}

// left returns services with only the nodes left in the tier. What is whole is
// not copied, and nothing that services holds is changed.
func (m marks) left(services []*registry.Service, tier mark) []*registry.Service {
	out := make([]*registry.Service, 0, len(services))
	for _, service := range services {
		nodes := nodesOf(service)
		own := m[:len(nodes)]
		m = m[len(nodes):]
		switch n := own.count(tier); {
		case n == 0:
		case n == len(nodes):
			out = append(out, service)
		default:
			out = append(out, own.copyOf(service, tier, n))
		}
	}
	return out
}

func (m marks) copyOf(service *registry.Service, tier mark, n int) *registry.Service {
	part := *service
	part.Nodes = make([]*registry.Node, 0, n)
	for i, node := range service.Nodes {
		if m[i]&tier == 0 {
			part.Nodes = append(part.Nodes, node)
		}
	}
	return &part
}

func (m marks) count(tier mark) (n int) {
	for _, k := range m {
		if k&tier == 0 {
			n++
		}
	}
	return n
}

func (m marks) holds(services []*registry.Service, tier mark, address string) (held bool) {
	m.each(services, func(i int, node *registry.Node) {
		held = held || m[i]&tier == 0 && node.Address == address
	})
	return held
}

// random returns one of the nodes left in the tier, which must not be empty.
func (m marks) random(services []*registry.Service, tier mark) *registry.Node {
	return m.nth(services, tier, rand.IntN(m.count(tier)))
}

// nth returns the nth of the nodes left in the tier, from 0.
func (m marks) nth(services []*registry.Service, tier mark, nth int) (chosen *registry.Node) {
	m.each(services, func(i int, node *registry.Node) {
		if m[i]&tier != 0 {
			return
		}
		if nth == 0 {
			chosen = node
		}
		nth--
	})
	return chosen
}
