package selectorx

import (
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// filterTries is how often a selector is asked for another node before the one
// it insists on is taken.
const filterTries = 16

// FilterNext puts the call's rules around the Next of a selector that ignored the
// strategy it was given. The candidates are unknown, so it can only ask again:
// the cap does not apply, and a node that was tried is taken as a last resort.
// One that asks the strategy only now has not ignored it: its node is taken.
func (c *Call) FilterNext(next selector.Next) selector.Next {
	return func() (*registry.Node, error) {
		var spare *registry.Node
		for range filterTries {
			node, err := next()
			if err != nil {
				return nil, err
			}
			if c.Services() != nil {
				return node, nil
			}
			if !isUsable(node) {
				continue
			}
			if c.Accepts(node.Address) {
				c.MarkTried(node.Address)
				return node, nil
			}
			if spare == nil || c.latest() == spare.Address {
				spare = node
			}
		}
		if spare == nil {
			return nil, selector.ErrNoneAvailable
		}
		c.MarkTried(spare.Address)
		return spare, nil
	}
}

func (c *Call) latest() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
