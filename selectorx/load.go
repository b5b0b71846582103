package selectorx

import "time"

// Load is what one attempt adds to the load of its node: get it from Call.Begin when
// the attempt begins, and End it. The zero value counts for nothing. It belongs to
// one goroutine at a time.
type Load struct {
	node  *nodeLoad
	clock time.Time
}

// End says how the attempt ended and how long it took. Only the first End of a Load
// counts.
func (l *Load) End(outcome Outcome, took time.Duration) {
	if l.node == nil {
		return
	}
	l.node.end(outcome, took, time.Since(l.clock))
	l.node = nil
}

// Begin counts an attempt at address, where the nodes of this call come from a Flat
// selector and address is one of them; otherwise it returns the zero Load.
func (c *Call) Begin(address string) Load {
	c.mu.Lock()
	s, picked := c.snapshot, c.picked
	c.mu.Unlock()
	if s == nil {
		return Load{}
	}
	if picked.node == nil || picked.node.Address != address {
		picked, _ = s.find(address)
	}
	if picked.load == nil {
		return Load{}
	}
	picked.load.inflight.Add(1)
	return Load{node: picked.load, clock: s.clock}
}
