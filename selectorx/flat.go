package selectorx

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	regutil "go-micro.dev/v4/util/registry"
)

// Flat is a selector whose Select costs the same at 3 and at 3,000 nodes: it picks from
// an immutable snapshot of each service, which the registry's watcher and a regular
// resync keep up to date. Make it with NewFlat; it is safe for concurrent use. Each
// service that is called has a goroutine that owns what is known of it, and two that
// ask the registry; Close ends them.
type Flat struct {
	settings FlatOptions
	origin

	mu      sync.Mutex // held by Init and Close
	options atomic.Pointer[selector.Options]
	feeds   atomic.Pointer[feeds]
	closed  atomic.Bool
}

// NewFlat makes a Flat. It returns an error that names the options that are out of
// range, their values and what is allowed. Nothing is asked of the registry before the
// first Select.
func NewFlat(opts ...FlatOption) (*Flat, error) {
	settings, err := newFlatOptions(opts)
	if err != nil {
		return nil, err
	}
	f := &Flat{settings: settings, origin: origin{time.Now(), newStrategyCodes()}}
	if settings.strategy == nil {
		settings.strategy = f.balance
	}
	f.options.Store(&selector.Options{Registry: settings.registry, Strategy: settings.strategy})
	f.feeds.Store(newFeeds(f.settings, settings.registry, f.origin))
	return f, nil
}

// Init sets options of go-micro's own. With another registry all that is known is
// forgotten; with another strategy, calls that have none of their own choose by it.
func (f *Flat) Init(opts ...selector.Option) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := *f.options.Load()
	before := o.Registry
	for _, opt := range opts {
		opt(&o)
	}
	if o.Registry == nil {
		o.Registry = before
	}
	if o.Strategy == nil {
		o.Strategy = f.balance
	}
	f.options.Store(&o)
	if sameRegistry(o.Registry, before) || f.closed.Load() {
		return nil
	}
	old := f.feeds.Swap(newFeeds(f.settings, o.Registry, f.origin))
	old.close()
	return nil
}

// Options returns the options of go-micro's own.
func (f *Flat) Options() selector.Options { return *f.options.Load() }

// Select returns the Next of one call. Strategies and filters that come with the call
// are given what other selectors give them, a copy of their own; go-micro's strategies
// and those of this package get the snapshot itself. The nodes that these return
// belong to the selector: do not change them.
//
// The error is selector.ErrNotFound where the registry knows no such service,
// selector.ErrNoneAvailable where filters leave none, or the registry's own. Only a
// service of which no node is known is waited for, see WithFirstWait.
func (f *Flat) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	s, err := f.snapshot(service, opts)
	if err != nil {
		return nil, err
	}
	strategy := f.options.Load().Strategy
	if len(opts) == 0 && f.codes.kindOf(strategy) == strategyBalance {
		return s.next, nil
	}
	o := selector.SelectOptions{Strategy: strategy, Context: s.ctx}
	for _, opt := range opts {
		opt(&o)
	}
	if len(o.Filters) > 0 {
		return filtered(s, &o)
	}
	switch kind := f.codes.kindOf(o.Strategy); {
	case kind == strategyBalance:
		return s.next, nil
	case kind == strategyRandom:
		return s.random, nil
	case kind.careful():
		return o.Strategy(s.services), nil
	default:
		return o.Strategy(regutil.Copy(s.services)), nil
	}
}

// filtered is Select where the call has filters.
func filtered(s *snapshot, o *selector.SelectOptions) (selector.Next, error) {
	services := regutil.Copy(s.services)
	for _, filter := range o.Filters {
		services = filter(services)
	}
	if len(services) == 0 {
		return nil, selector.ErrNoneAvailable
	}
	if o.Strategy == nil {
		return selector.Random(services), nil
	}
	return o.Strategy(services), nil
}

// snapshot returns what is known of a service. Where no node is, the registry is asked,
// if that was not done just before.
func (f *Flat) snapshot(service string, opts []selector.SelectOption) (*snapshot, error) {
	feed := f.feeds.Load().of(service)
	if feed == nil {
		return f.direct(service)
	}
	if s := feed.current.Load(); s != nil && len(s.members) > 0 {
		return s, nil
	}
	return feed.await(newFirstWait(opts).until, f.settings.firstWait)
}

// direct asks the registry itself, where there is no feed to ask: the selector was
// closed, but whoever stops a service may call others.
func (f *Flat) direct(service string) (*snapshot, error) {
	services, err := f.options.Load().Registry.GetService(service)
	if errors.Is(err, registry.ErrNotFound) || err == nil && len(services) == 0 {
		return nil, selector.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	t := newTable()
	t.merge(services, alwaysThere)
	return t.snapshot(f.origin), nil
}

// known returns the snapshot of a service, or nil; it asks nobody.
func (f *Flat) known(service string) *snapshot {
	if feed := f.feeds.Load().find(service); feed != nil {
		return feed.current.Load()
	}
	return nil
}

// Mark does nothing: see Call.Begin for how a balance learns.
func (f *Flat) Mark(string, *registry.Node, error) {}

// Reset has the registry asked for all nodes of a service.
func (f *Flat) Reset(service string) {
	if feed := f.feeds.Load().find(service); feed != nil {
		feed.ask()
	}
}

// Close ends the goroutines and forgets everything. A Select after it asks the registry
// each time. It may be called more than once, and returns nil.
func (f *Flat) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed.Store(true)
	f.feeds.Load().close()
	return nil
}

// String is the name of the selector.
func (f *Flat) String() string { return "oncemore" }

// Status tells what is known of each service that is watched, in the order of their
// names.
func (f *Flat) Status() []Status { return f.feeds.Load().status() }
