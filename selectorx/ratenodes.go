package selectorx

import (
	"slices"

	"go-micro.dev/v4/registry"
)

// mark is what speaks against a node.
type mark uint8

const (
	unusable mark = 1 << iota // nil, or without an address
	ejected                   // its circuit is open, and not by refused dials alone
	refused                   // its circuit is open by refused dials alone
	tried                     // by this call
	last                      // the one tried last; with tried
)

// The tiers of choice: a node is left if none of the marks speaks against it.
const (
	maskUntried        = unusable | ejected | refused | tried
	maskRefusedUntried = unusable | ejected | tried // to knock on a closed door once costs little
	maskNotLast        = unusable | ejected | refused | last
	maskAdmitted       = unusable | ejected | refused
	maskUsable         = unusable
)

// rateRoom is for how many nodes their marks live on the stack.
const rateRoom = 64

// marks holds one mark per node, in the order of the services.
type marks []mark

// some tells whether any node is left in the tier.
func (m marks) some(tier mark) bool {
	for _, k := range m {
		if k&tier == 0 {
			return true
		}
	}
	return false
}

// rateNodes appends to m what speaks against each node of services, after a call
// has tried some addresses, one of them last.
func (c *Call) rateNodes(m marks, services []*registry.Service, attempted []string, latest string) marks {
	m = judgeAll(m, services, attempted, latest)
	if !c.balancer.anyOpen() {
		return m
	}
	c.balancer.eject(m, services)
	if !m.some(maskAdmitted) {
		m.drop(ejected | refused)
	}
	return m
}

// judgeAll appends to m what speaks against each node without an ejector.
func judgeAll(m marks, services []*registry.Service, attempted []string, latest string) marks {
	m = slices.Grow(m, countNodes(services))
	for _, service := range services {
		for _, node := range nodesOf(service) {
			m = append(m, judge(node, attempted, latest))
		}
	}
	return m
}

func judge(node *registry.Node, attempted []string, latest string) mark {
	switch {
	case !isUsable(node):
		return unusable
	case len(attempted) == 0 || !slices.Contains(attempted, node.Address):
		return 0
	case node.Address == latest:
		return tried | last
	default:
		return tried
	}
}

// isUsable tells whether a node can be called.
func isUsable(node *registry.Node) bool { return node != nil && node.Address != "" }

// eject marks the nodes whose circuits are open, up to the cap.
func (b *Balancer) eject(m marks, services []*registry.Service) {
	capped := 0
	m.each(services, func(i int, node *registry.Node) {
		if m[i]&unusable != 0 {
			return
		}
		switch open, isRefused := b.ejector.Open(node.Address); {
		case open && isRefused:
			m[i] |= refused
		case open:
			m[i] |= ejected
			capped++
		}
	})
	if capped > 0 {
		b.applyCap(m, services, capped)
	}
}

// applyCap admits again those of the n nodes ejected by anything but refused
// dials that are beyond the cap. It goes by address, so that all calls of all
// clients agree on which.
func (b *Balancer) applyCap(m marks, services []*registry.Service, n int) {
	held := make([]string, 0, n)
	m.each(services, func(i int, node *registry.Node) {
		if m[i]&ejected != 0 {
			held = append(held, node.Address)
		}
	})
	slices.Sort(held)
	held = slices.Compact(held)
	limit := b.limit(services, len(held))
	if len(held) <= limit {
		return
	}
	m.each(services, func(i int, node *registry.Node) {
		if m[i]&ejected != 0 && node.Address >= held[limit] {
			m[i] &^= ejected
		}
	})
}

// limit is how many of n held nodes may be.
func (b *Balancer) limit(services []*registry.Service, n int) int {
	enough := int(float64(n)/(b.maxEjected+rounding)) + 1
	return b.limitOf(distinct(services, enough))
}

// rounding is what 0.3 × 10 falls short of 3 by, which must not cost a node.
const rounding = 1e-9

// limitOf is how many of n nodes may be held.
func (b *Balancer) limitOf(n int) int { return int(float64(n) * (b.maxEjected + rounding)) }

// distinct counts the addresses of services, at least up to enough: with few
// nodes held, a look at the first few nodes will do.
func distinct(services []*registry.Service, enough int) int {
	if enough > rateRoom {
		return distinctOfMany(services)
	}
	var room [rateRoom]string
	seen := room[:0]
	for _, service := range services {
		for _, node := range nodesOf(service) {
			if !isUsable(node) || slices.Contains(seen, node.Address) {
				continue
			}
			if seen = append(seen, node.Address); len(seen) == enough {
				return enough
			}
		}
	}
	return len(seen)
}

func distinctOfMany(services []*registry.Service) int {
	seen := make(map[string]struct{}, countNodes(services))
	for _, service := range services {
		for _, node := range nodesOf(service) {
			if isUsable(node) {
				seen[node.Address] = struct{}{}
			}
		}
	}
	return len(seen)
}

// each visits the nodes in the order of their marks.
func (m marks) each(services []*registry.Service, visit func(i int, node *registry.Node)) {
	i := 0
	for _, service := range services {
		for _, node := range nodesOf(service) {
			visit(i, node)
			i++
		}
	}
}

func (m marks) drop(k mark) {
	for i := range m {
		m[i] &^= k
	}
}

func countNodes(services []*registry.Service) (n int) {
	for _, service := range services {
		n += len(nodesOf(service))
	}
	return n
}

func nodesOf(service *registry.Service) []*registry.Node {
	if service == nil {
		return nil
	}
	return service.Nodes
}
