package selectorx

import (
	"math/rand/v2"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// run is c's strategy: it notes the candidates, and asks inner at once only
// where it will be asked about all of them.
func (c *Call) run(services []*registry.Service) selector.Next {
	c.mu.Lock()
	inner := c.inner
	fresh := len(c.tried) == 0
	c.mu.Unlock()

	var next selector.Next
	if fresh && !c.balancer.anyOpen() && !hasNil(services) {
		next = inner(services)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services, c.next = services, next
	return c.bound.next
}

func hasNil(services []*registry.Service) bool {
	for _, service := range services {
		if service == nil {
			return true
		}
	}
	return false
}

// pick returns the node of the next attempt and marks it as tried.
func (c *Call) pick() (*registry.Node, error) {
	c.mu.Lock()
	inner, next, services := c.inner, c.next, c.services
	attempted, latest := c.tried, c.last
	c.mu.Unlock()

	if next != nil && len(attempted) == 0 && !c.balancer.anyOpen() {
		node, err := next()
		if err != nil {
			return nil, err
		}
		if node != nil && node.Address != "" {
			c.MarkTried(node.Address)
			return node, nil
		}
	}
	var room [surveyRoom]mark
	m := c.survey(room[:0], services, attempted, latest)
	node, err := c.choose(m, services, inner)
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
	c.mu.Lock()
	c.direct.service.Nodes = nodes
	c.direct.list[0] = &c.direct.service
	c.services, c.next = c.direct.list[:], nil
	services, attempted, latest := c.services, c.tried, c.last
	c.mu.Unlock()

	var room [surveyRoom]mark
	m := c.survey(room[:0], services, attempted, latest)
	node, err := c.choose(m, services, nil)
	if err != nil {
		return nil
	}
	c.MarkTried(node.Address)
	return node
}

// choose goes down the tiers until one has a node and inner takes it. A nil
// inner takes any.
func (c *Call) choose(m marks, services []*registry.Service, inner selector.Strategy) (*registry.Node, error) {
	firstPick := true
	for _, k := range m {
		firstPick = firstPick && k&tried == 0
	}
	if firstPick || !m.some(untried) {
		if node := c.probe(m, services, inner); node != nil {
			return node, nil
		}
	}
	failure := selector.ErrNoneAvailable
	for _, tier := range [...]mark{untried, notLast, admitted, usable} {
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
// inner would never take it.
func (c *Call) probe(m marks, services []*registry.Service, inner selector.Strategy) *registry.Node {
	i := 0
	for _, service := range services {
		for _, node := range nodesOf(service) {
			k := m[i]
			i++
			if k&(unusable|tried) != 0 || k&ejected == 0 || !c.balancer.ejector.Probe(node.Address, c.retriable) {
				continue
			}
			if inner == nil {
				return node
			}
			only := *service
			only.Nodes = []*registry.Node{node}
			if got, err := inner([]*registry.Service{&only})(); err == nil && got != nil {
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
func (m marks) random(services []*registry.Service, tier mark) (chosen *registry.Node) {
	nth := rand.IntN(m.count(tier))
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
