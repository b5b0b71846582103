package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// directory is a memory registry whose watchers miss nothing: go-micro's own drops what
// they do not take within 10 ms, and what it tells comes in any order. Callers on a busy
// machine would know instances that have left, and none that have come.
type directory struct {
	registry.Registry

	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

func newDirectory() *directory {
	return &directory{Registry: registry.NewMemoryRegistry(), watchers: make(map[*watcher]struct{})}
}

// Register adds an instance, and tells all who watch.
func (d *directory) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.Registry.Register(s, opts...)
	d.tell("create", s)
	return err
}

// Deregister removes an instance, and tells all who watch.
func (d *directory) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.Registry.Deregister(s, opts...)
	d.tell("delete", s)
	return err
}

// tell gives each watcher a copy of its own. The directory is locked.
func (d *directory) tell(action string, s *registry.Service) {
	for w := range d.watchers {
		told := *s
		told.Nodes = slices.Clone(s.Nodes)
		w.results = append(w.results, &registry.Result{Action: action, Service: &told})
		w.told.Signal()
	}
}

// Watch begins to watch one service, or all.
func (d *directory) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	var o registry.WatchOptions
	for _, opt := range opts {
		opt(&o)
	}
	w := &watcher{directory: d, service: o.Service, told: sync.NewCond(&d.mu)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers[w] = struct{}{}
	return w, nil
}

// watcher is what Watch returns. The directory's mutex guards it.
type watcher struct {
	directory *directory
	service   string
	results   []*registry.Result
	told      *sync.Cond
	stopped   bool
}

var errStopped = errors.New("watcher stopped")

// Next waits for what happens next.
func (w *watcher) Next() (*registry.Result, error) {
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	for {
		for len(w.results) == 0 && !w.stopped {
			w.told.Wait()
		}
		if w.stopped {
			return nil, errStopped
		}
		next := w.results[0]
		w.results = w.results[1:]
		if w.service == "" || w.service == next.Service.Name {
			return next, nil
		}
	}
}

// Stop ends the watch.
func (w *watcher) Stop() {
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	w.stopped = true
	delete(w.directory.watchers, w)
	w.told.Broadcast()
}

// withoutCache has go-micro's selector ask the directory for each call. Its cache begins
// to watch up to 100 ms after it was filled, and learns of what happened in between when
// it expires, after a minute.
func withoutCache(o *selector.Options) {
	if o.Context == nil {
		o.Context = context.Background()
	}
	o.Context = context.WithValue(o.Context, "selector_ttl", time.Duration(0)) //nolint:revive,staticcheck // go-micro's own key
}
