package selectorx

import (
	"math/rand/v2"
	"slices"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// drawTries is how many nodes are drawn before all are looked at. With half of them
// ejected, one draw in 65,000 finds none.
const drawTries = 16

// OpenLister is an Ejector that can tell which addresses are ejected, so that whoever
// looks for one to probe need not ask for each node.
type OpenLister interface {
	Ejector
	// VisitOpen calls v with each address whose circuit is open, until v returns
	// false.
	VisitOpen(v interface {
		VisitOpen(address string) (more bool)
	})
}

// draw picks a node without a look at each, marks it as tried and returns it; nil
// where only such a look can tell which: the strategy needs it, the services are not
// those of a snapshot, or nearly all nodes were tried or are ejected.
func (c *Call) draw() *registry.Node {
	d, ok := c.drawing()
	if !ok {
		return nil
	}
	if d.lister != nil {
		probe, held := c.probeOpen(&d)
		if probe.node != nil {
			return c.take(probe)
		}
		if held > c.balancer.limitOf(len(d.snapshot.members)) {
			return nil // some are admitted again
		}
	}
	if m := d.member(); m.node != nil {
		return c.take(m)
	}
	return nil
}

func (c *Call) take(m member) *registry.Node {
	c.MarkTried(m.node.Address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.picked = m
	return m.node
}

// drawsUntried tells whether a node can be drawn that is admitted and was not tried.
func (c *Call) drawsUntried() bool {
	d, ok := c.drawing()
	d.kind = strategyRandom // it must not be anybody's turn
	return ok && d.member().node != nil
}

// drawing is one search for a node among those of a snapshot.
type drawing struct {
	snapshot *snapshot
	services []*registry.Service
	inner    selector.Strategy
	kind     strategyKind
	tried    []string
	lister   OpenLister // nil: no circuit is open
}

// drawing begins a search, if that can find one.
func (c *Call) drawing() (d drawing, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.kind.samples() || !c.snapshot.holds(c.services) {
		return d, false
	}
	d = drawing{snapshot: c.snapshot, services: c.services, inner: c.inner, kind: c.kind, tried: c.tried}
	if c.balancer.anyOpen() {
		d.lister, ok = c.balancer.ejector.(OpenLister)
		return d, ok
	}
	return d, true
}

// member draws until a node is admitted and was not tried; where the balance chooses,
// until there are two.
func (d *drawing) member() (found member) {
	for range drawTries {
		m := d.next()
		switch {
		case m.node == nil || !d.admits(m.node.Address):
		case d.kind != strategyBalance:
			return m
		case found.node == nil:
			found = m
		case found.load != m.load:
			return d.snapshot.better(found, m)
		}
	}
	return found
}

func (d *drawing) next() member {
	if len(d.snapshot.members) == 0 {
		return member{}
	}
	if d.kind != strategyTurns {
		return d.snapshot.members[rand.IntN(len(d.snapshot.members))]
	}
	node, err := d.inner(d.services)()
	if err != nil {
		return member{}
	}
	return member{node: node}
}

// admits tells whether an address is neither tried nor ejected.
func (d *drawing) admits(address string) bool {
	if slices.Contains(d.tried, address) {
		return false
	}
	if d.lister == nil {
		return true
	}
	open, _ := d.lister.Open(address)
	return !open
}

// probeOpen looks at the ejected nodes; see probing. What an ejector is given is
// allocated, hence the pool.
func (c *Call) probeOpen(d *drawing) (probe member, held int) {
	p, ok := c.balancer.probings.Get().(*probing)
	if !ok {
		p = new(probing)
	}
	*p = probing{call: c, snapshot: d.snapshot, ejector: d.lister, first: len(d.tried) == 0}
	d.lister.VisitOpen(p)
	probe, held = p.probe, p.held
	*p = probing{}
	c.balancer.probings.Put(p)
	return probe, held
}

// probing looks at the ejected nodes of a snapshot. It claims the probe of one for the
// first attempt of a call, and counts those that are ejected by anything but refused
// dials.
type probing struct {
	call     *Call
	snapshot *snapshot
	ejector  OpenLister
	first    bool

	probe member
	held  int
}

// VisitOpen looks at one address.
func (p *probing) VisitOpen(address string) (more bool) {
	m, ok := p.snapshot.find(address)
	if !ok {
		return true
	}
	if p.first && p.call.probes(address) {
		p.probe = m
		return false
	}
	if open, refused := p.ejector.Open(address); open && !refused {
		p.held++
	}
	return true
}
