package selectorx

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(leak.GoMicro(), leak.MemoryRegistry()...)...)
}

// ejector is an Ejector whose circuits the test sets.
type ejector struct {
	mu     sync.Mutex
	open   map[string]bool // address: by refused dials
	probes map[string]int  // how many each still grants
	asked  []bool          // retriable, of each probe granted
}

func newEjector() *ejector {
	return &ejector{open: map[string]bool{}, probes: map[string]int{}}
}

func (e *ejector) AnyOpen() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open) > 0
}

func (e *ejector) Open(address string) (open, refused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	refused, open = e.open[address]
	return open, refused
}

func (e *ejector) VisitOpen(v interface{ VisitOpen(address string) bool }) {
	e.mu.Lock()
	open := slices.Collect(maps.Keys(e.open))
	e.mu.Unlock()
	for _, address := range open {
		if !v.VisitOpen(address) {
			return
		}
	}
}

func (e *ejector) Probe(address string, retriable bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.probes[address] == 0 {
		return false
	}
	e.probes[address]--
	e.asked = append(e.asked, retriable)
	return true
}

func (e *ejector) trip(refused bool, addresses ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range addresses {
		e.open[a] = refused
	}
}

func balancer(tb testing.TB, opts ...Option) *Balancer {
	tb.Helper()
	b, err := NewBalancer(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func service(version string, addresses ...string) *registry.Service {
	s := &registry.Service{Name: "hello", Version: version}
	for i, a := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: fmt.Sprintf("%s-%d", version, i), Address: a})
	}
	return s
}

func numbered(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("n%d", i))
	}
	return out
}

// first is a custom strategy that takes the first node it is given.
func first(services []*registry.Service) selector.Next {
	return func() (*registry.Node, error) {
		for _, s := range services {
			for _, n := range s.Nodes {
				return n, nil
			}
		}
		return nil, selector.ErrNoneAvailable
	}
}

// strategies are what every rule must hold over.
func strategies() map[string]selector.Strategy {
	return map[string]selector.Strategy{
		"none given":          nil,
		"go-micro Random":     selector.Random,
		"go-micro RoundRobin": selector.RoundRobin,
		"RoundRobin":          NewRoundRobin(),
		"custom":              first,
		"of its own mind": func([]*registry.Service) selector.Next {
			return func() (*registry.Node, error) { return &registry.Node{Address: "elsewhere"}, nil }
		},
		"empty-handed": func([]*registry.Service) selector.Next {
			return func() (*registry.Node, error) { return nil, nil }
		},
	}
}

func pick(t *testing.T, next selector.Next) string {
	t.Helper()
	node, err := next()
	if err != nil || node == nil {
		t.Fatalf("Next = %v, %v", node, err)
	}
	return node.Address
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
