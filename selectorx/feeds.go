package selectorx

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/registry"
)

// maxFeeds bounds how many services are watched, should their names be made up at run
// time. The registry is asked directly for what is beyond it.
const maxFeeds = 4096

// feeds are the feeds from one registry, by service.
type feeds struct {
	settings FlatOptions
	source   registry.Registry
	origin
	ctx    context.Context //nolint:containedctx // the life of all feeds
	cancel context.CancelFunc

	byName sync.Map // string → *feed
	count  atomic.Int64

	mu     sync.Mutex // held while a feed is begun
	closed bool
	group  sync.WaitGroup
}

func newFeeds(settings FlatOptions, source registry.Registry, of origin) *feeds {
	ctx, cancel := context.WithCancel(context.Background())
	return &feeds{settings: settings, source: source, origin: of, ctx: ctx, cancel: cancel}
}

// of returns the feed of a service, and begins it if there is none; nil where none can
// be begun. It notes that the service is called.
func (f *feeds) of(service string) *feed {
	found := f.find(service)
	if found == nil {
		if found = f.begin(service); found == nil {
			return nil
		}
	}
	if !found.used.Load() { // most calls only read it
		found.used.Store(true)
	}
	return found
}

func (f *feeds) find(service string) *feed {
	found, ok := f.byName.Load(service)
	if !ok {
		return nil
	}
	return found.(*feed) //nolint:forcetypeassert,errcheck // nothing else is put in
}

func (f *feeds) begin(service string) *feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found := f.find(service); found != nil || f.closed || f.count.Load() >= maxFeeds {
		return found
	}
	ctx, cancel := context.WithCancel(f.ctx)
	begun := newFeed(ctx, f, service)
	f.byName.Store(service, begun)
	f.count.Add(1)
	f.group.Go(func() {
		defer cancel()
		begun.run()
		f.byName.CompareAndDelete(service, begun)
		f.count.Add(-1)
	})
	return begun
}

// close ends all feeds. A request that the registry does not answer is not waited for.
func (f *feeds) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.group.Wait()
}

func (f *feeds) status() []Status {
	var all []Status
	f.byName.Range(func(_, found any) bool {
		all = append(all, found.(*feed).status()) //nolint:forcetypeassert,errcheck // nothing else is put in
		return true
	})
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Service, b.Service) })
	return all
}

// sameRegistry tells whether two are one; registries of a type that cannot be compared
// are not.
func sameRegistry(a, b registry.Registry) bool {
	return reflect.TypeOf(a).Comparable() && a == b
}
