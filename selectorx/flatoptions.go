package selectorx

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// FlatOptions collects what the With functions of NewFlat set. NewFlat fills in the
// defaults and validates the whole, once.
type FlatOptions struct {
	registry    registry.Registry
	registrySet bool
	strategy    selector.Strategy
	resync      time.Duration
	keep        time.Duration
	firstWait   time.Duration
	idle        time.Duration
	hooks       []func(Status)
}

// FlatOption sets one of the FlatOptions of NewFlat.
type FlatOption func(*FlatOptions)

// WithRegistry sets which registry is asked. Not nil; the default is
// registry.DefaultRegistry, as it is when NewFlat is called. Init with
// selector.Registry, and so client.Registry, sets another one.
func WithRegistry(r registry.Registry) FlatOption {
	return func(o *FlatOptions) { o.registry, o.registrySet = r, true }
}

// WithFlatStrategy sets how nodes are chosen where a call does not say it. Nil, the
// default, is by balance: of two nodes at random the one that is likely to answer
// sooner.
func WithFlatStrategy(strategy selector.Strategy) FlatOption {
	return func(o *FlatOptions) { o.strategy = strategy }
}

// WithResync sets how often the registry is asked for all nodes of a service, whatever
// its watcher told; each time a fifth more or less, so that clients do not march in
// step. At least a second; the default is 30 s.
func WithResync(d time.Duration) FlatOption {
	return func(o *FlatOptions) { o.resync = d }
}

// WithKeep sets how long the nodes of a service are kept when the registry, asked for
// all, says that there are none any more: a registry that was restarted has forgotten
// them, until they register again. Up to an hour; the default is 30 s, which is
// go-micro's register interval, and 0 keeps none.
func WithKeep(d time.Duration) FlatOption {
	return func(o *FlatOptions) { o.keep = d }
}

// WithFirstWait sets how long a selection waits for the registry while nothing is known
// of the service. More than 0; the default is 10 s. Where the selection tells that its
// call ends before, as the client wrapper's does, it waits no longer than that.
func WithFirstWait(d time.Duration) FlatOption {
	return func(o *FlatOptions) { o.firstWait = d }
}

// WithIdle sets for how long a service that nobody calls is watched; what was learnt of
// its nodes is then forgotten. At least a second; the default is 10 minutes.
func WithIdle(d time.Duration) FlatOption {
	return func(o *FlatOptions) { o.idle = d }
}

// WithStatusHook adds a function that is told when the snapshot of a service turns stale,
// because the registry cannot be asked or has forgotten all nodes, and when it is fresh
// again: see Status.Stale. It is called by the goroutine that keeps the snapshot, and
// must be quick and not panic. Several add up. Not nil; the default is none.
func WithStatusHook(hook func(Status)) FlatOption {
	return func(o *FlatOptions) { o.hooks = append(o.hooks, hook) }
}

func newFlatOptions(opts []FlatOption) (FlatOptions, error) {
	o := FlatOptions{
		registry: registry.DefaultRegistry, resync: 30 * time.Second, keep: 30 * time.Second,
		firstWait: 10 * time.Second, idle: 10 * time.Minute,
	}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("selectorx: nil FlatOption: leave it out instead")
		}
		opt(&o)
	}
	return o, o.validate()
}

func (o *FlatOptions) validate() error {
	var errs []error
	if o.registrySet && o.registry == nil {
		errs = append(errs, errors.New("selectorx: WithRegistry(nil): must be a registry"))
	}
	for _, d := range [...]struct {
		name         string
		value, least time.Duration
	}{
		{"WithResync", o.resync, time.Second}, {"WithKeep", o.keep, 0},
		{"WithFirstWait", o.firstWait, 1}, {"WithIdle", o.idle, time.Second},
	} {
		if d.value < d.least {
			errs = append(errs, fmt.Errorf("selectorx: %s(%v): must be at least %v", d.name, d.value, d.least))
		}
	}
	if slices.ContainsFunc(o.hooks, func(h func(Status)) bool { return h == nil }) {
		errs = append(errs, errors.New("selectorx: WithStatusHook(nil): must be a function"))
	}
	if o.keep > time.Hour {
		errs = append(errs, fmt.Errorf("selectorx: WithKeep(%v): must be at most 1h", o.keep))
	}
	return errors.Join(errs...)
}
