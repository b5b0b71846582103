package selectorx

import (
	"context"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	regutil "go-micro.dev/v4/util/registry"
)

// Picker picks the node of one selection.
type Picker interface {
	PickNode(c *Choice) (*registry.Node, error)
}

// Choice is what one selection leaves to choose from.
type Choice struct {
	picker   Picker
	inner    selector.Strategy
	snapshot *snapshot // of a Flat; nil: the selector is another one
	services []*registry.Service
}

// Choose has p pick the node of a selection, instead of the strategy that the options
// before it chose, which the Choice remembers. Call it from a selector.SelectOption. A
// Flat that knows nothing of the service yet waits no longer than ctx lasts.
func Choose(ctx context.Context, o *selector.SelectOptions, p Picker) { new(Choice).Install(ctx, o, p) }

// Install is Choose with room of the caller's own, which must not be in use.
func (c *Choice) Install(ctx context.Context, o *selector.SelectOptions, p Picker) {
	if first, ok := o.Context.(*firstWait); ok {
		first.until = ctx
	}
	*c = Choice{picker: p, inner: o.Strategy, snapshot: snapshotOf(o)}
	o.Strategy = c.strategy
}

func (c *Choice) strategy(services []*registry.Service) selector.Next {
	c.services = services
	if !c.snapshot.holds(services) {
		return c.next
	}
	if !c.snapshot.kindOf(c.inner).careful() {
		c.services = regutil.Copy(services) // which is what it gets from other selectors
	}
	return c.next
}

func (c *Choice) next() (*registry.Node, error) { return c.picker.PickNode(c) }

// ChoiceOf is a Choice among services that no selection left: it has no strategy.
func ChoiceOf(services []*registry.Service) *Choice { return &Choice{services: services} }

// Services returns the candidates. They belong to the selector: do not change them.
func (c *Choice) Services() []*registry.Service { return c.services }

// Once returns what compute makes of the candidates. Where they are the nodes that a
// Flat knows, with nothing filtered out, it is computed once for as long as they stay
// the same; key tells what is computed from other things, and should be of a type of
// the caller's own.
func (c *Choice) Once(key any, compute func([]*registry.Service) any) any {
	if !c.snapshot.holds(c.services) {
		return compute(c.services)
	}
	if known, ok := c.snapshot.derived.Load(key); ok {
		return known
	}
	known, _ := c.snapshot.derived.LoadOrStore(key, compute(c.services))
	return known
}

// firstWait is the context of options that are asked for how long a selection may wait
// for the registry, before there is a snapshot to select from.
type firstWait struct {
	context.Context //nolint:containedctx // options may look for values in it

	until context.Context //nolint:containedctx // lasts as long as whoever selects
}

func newFirstWait(opts []selector.SelectOption) *firstWait {
	w := &firstWait{Context: context.Background(), until: context.Background()}
	o := selector.SelectOptions{Context: w}
	for _, opt := range opts {
		opt(&o)
	}
	return w
}
