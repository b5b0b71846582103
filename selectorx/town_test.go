package selectorx

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// town is a registry whose answers and events the test decides on, each by itself: an
// event may be lost, late or wrong, and answers may fail or not come.
type town struct {
	mu       sync.Mutex
	services map[string][]*registry.Service
	err      error
	hang     chan struct{} // answers wait until it is closed
	asked    int
	watchers map[*townWatcher]struct{}
	noWatch  error
}

func newTown(services ...*registry.Service) *town {
	r := &town{services: map[string][]*registry.Service{}, watchers: map[*townWatcher]struct{}{}}
	r.set(services...)
	return r
}

// set makes services those of "hello", without an event.
func (r *town) set(services ...*registry.Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services["hello"] = services
}

func (r *town) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// freeze has all questions wait until the returned function is called.
func (r *town) freeze() (thaw func()) {
	hang := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hang = hang
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hang = nil
		close(hang)
	}
}

func (r *town) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *town) tell(action string, s *registry.Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers {
		w.events <- &registry.Result{Action: action, Service: s}
	}
}

func (r *town) GetService(name string, _ ...registry.GetOption) ([]*registry.Service, error) {
	r.mu.Lock()
	r.asked++
	services, err, hang := r.services[name], r.err, r.hang
	r.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err == nil && services == nil {
		err = registry.ErrNotFound
	}
	return services, err
}

func (r *town) Watch(...registry.WatchOption) (registry.Watcher, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noWatch != nil {
		return nil, r.noWatch
	}
	w := &townWatcher{town: r, events: make(chan *registry.Result, 4096), stopped: make(chan struct{})}
	r.watchers[w] = struct{}{}
	return w, nil
}

// breakWatchers ends all watchers.
func (r *town) breakWatchers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.watchers {
		close(w.events)
		delete(r.watchers, w)
	}
}

func (r *town) Init(...registry.Option) error                                    { return nil }
func (r *town) Options() registry.Options                                        { return registry.Options{} }
func (r *town) Register(*registry.Service, ...registry.RegisterOption) error     { return nil }
func (r *town) Deregister(*registry.Service, ...registry.DeregisterOption) error { return nil }
func (r *town) ListServices(...registry.ListOption) ([]*registry.Service, error) { return nil, nil }
func (r *town) String() string                                                   { return "town" }

type townWatcher struct {
	town    *town
	events  chan *registry.Result
	stopped chan struct{}
}

var errWatcherBroke = errors.New("the watcher broke")

func (w *townWatcher) Next() (*registry.Result, error) {
	select {
	case event, ok := <-w.events:
		if !ok {
			return nil, errWatcherBroke
		}
		return event, nil
	case <-w.stopped:
		return nil, registry.ErrWatcherStopped
	}
}

// Stop, as that of some registries, bears to be called only once.
func (w *townWatcher) Stop() {
	w.town.mu.Lock()
	defer w.town.mu.Unlock()
	delete(w.town.watchers, w)
	close(w.stopped)
}

// flat is a Flat on a registry, closed at the end.
func flat(t *testing.T, r registry.Registry, opts ...FlatOption) *Flat {
	t.Helper()
	f, err := NewFlat(append([]FlatOption{WithRegistry(r)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// flatTown is a Flat that has seen a town of two nodes, a and b.
func flatTown(t *testing.T, opts ...FlatOption) (*town, *Flat) {
	t.Helper()
	r := newTown(nodes("1", "a", "b"))
	f := flat(t, r, opts...)
	wantSeen(t, f, "at first", "a", "b")
	synctest.Wait()
	return r, f
}

// seen is which addresses of "hello" a selector gives to a strategy of the user's.
func seen(t *testing.T, s selector.Selector) []string {
	t.Helper()
	var addresses []string
	next, err := s.Select("hello", selector.WithStrategy(func(services []*registry.Service) selector.Next {
		for _, s := range services {
			for _, n := range s.Nodes {
				addresses = append(addresses, n.Address)
			}
		}
		return first(services)
	}))
	if errors.Is(err, selector.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(addresses) > 0 {
		pick(t, next)
	}
	return sorted(addresses)
}

func wantSeen(t *testing.T, s selector.Selector, when string, want ...string) {
	t.Helper()
	if got := seen(t, s); !slices.Equal(got, sorted(want)) {
		t.Errorf("%s: nodes %v, want %v", when, got, want)
	}
}

// statusOf is what a Flat says of "hello".
func statusOf(t *testing.T, f *Flat) Status {
	t.Helper()
	for _, s := range f.Status() {
		if s.Service == "hello" {
			return s
		}
	}
	t.Fatal("no status of hello")
	return Status{}
}

// nodes are a version of "hello" with one id for each address.
func nodes(version string, addresses ...string) *registry.Service {
	s := service(version)
	for _, a := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: "id-" + a, Address: a})
	}
	return s
}

// after waits on the fake clock, and until everybody has seen it.
func after(d time.Duration) {
	time.Sleep(d)
	// A timer of the same moment fires, and what it starts ends.
	time.Sleep(time.Nanosecond)
}
