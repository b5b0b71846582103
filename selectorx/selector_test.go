package selectorx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/wrapper/select/roundrobin"
	"go-micro.dev/v4/client"
	microerrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// network stands for the nodes: a CallWrapper that never dials.
type network struct {
	mu   sync.Mutex
	down map[string]bool
	hits []string
	// meanwhile runs while an attempt fails, unless it is nil.
	meanwhile func()
}

func (n *network) wrapper(client.CallFunc) client.CallFunc {
	return func(_ context.Context, node *registry.Node, _ client.Request, _ any, _ client.CallOptions) error {
		if n.visit(node.Address) {
			if n.meanwhile != nil {
				n.meanwhile()
			}
			return microerrors.Timeout("go.micro.client", "%s does not answer", node.Address)
		}
		return nil
	}
}

// visit reports whether the node is down.
func (n *network) visit(address string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hits = append(n.hits, address)
	return n.down[address]
}

// newClient is a real go-micro client over a memory registry that knows the
// nodes of "hello" from the start.
func newClient(t *testing.T, n *network, strategy selector.Strategy, nodes []string, opts ...SelectorOption) client.Client {
	t.Helper()
	reg := registry.NewMemoryRegistry(registry.Services(map[string][]*registry.Service{"hello": {service("1", nodes...)}}))
	inner := selector.NewSelector(selector.Registry(reg), selector.SetStrategy(strategy))
	s, err := NewSelector(inner, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return client.NewClient(
		client.Selector(s),
		client.Registry(reg),
		client.WrapCall(n.wrapper),
		client.Backoff(func(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }),
		client.Retries(len(nodes)-1),
	)
}

func call(c client.Client, opts ...client.CallOption) error {
	return c.Call(context.Background(), c.NewRequest("hello", "Say.Hello", struct{}{}), &struct{}{}, opts...)
}

func TestSelectorInARealClient(t *testing.T) {
	for name, strategy := range map[string]selector.Strategy{
		"Random": selector.Random, "RoundRobin": selector.RoundRobin, "shared RoundRobin": NewRoundRobin(),
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
			n := &network{down: map[string]bool{nodes[0]: true, nodes[2]: true}}
			c := newClient(t, n, strategy, nodes)
			for range 100 {
				n.hits = nil
				if err := call(c); err != nil {
					t.Fatalf("%v, after %v", err, n.hits)
				}
				if len(n.hits) != len(sorted(n.hits)) {
					t.Fatalf("a node was tried twice: %v", n.hits)
				}
			}
			n.down[nodes[1]] = true
			n.hits = nil
			if err := call(c); err == nil || !slices.Equal(sorted(n.hits), nodes) {
				t.Fatalf("all down: error %v, tried %v", err, n.hits)
			}
		})
	}
}

// The control: without the selector, go-micro goes back to the node that just
// failed, or the test above proves nothing.
func TestStockSelectorTriesANodeTwice(t *testing.T) {
	nodes := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	services := []*registry.Service{service("1", nodes...)}
	twice := 0
	for range 200 {
		next := selector.Random(services)
		if one, two := pick(t, next), pick(t, next); one == two {
			twice++
		}
	}
	if twice == 0 {
		t.Error("Random never picked a node twice in a row")
	}
}

func TestSelectorKeepsFiltersAndStrategiesOfTheCall(t *testing.T) {
	nodes := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	n := &network{}
	c := newClient(t, n, selector.Random, nodes)
	filter := selector.WithFilter(func(in []*registry.Service) []*registry.Service {
		return []*registry.Service{{Name: in[0].Name, Nodes: in[0].Nodes[1:]}}
	})
	for range 50 {
		if err := call(c, client.WithSelectOption(filter, selector.WithStrategy(first))); err != nil {
			t.Fatal(err)
		}
	}
	if got := sorted(n.hits); len(got) != 1 {
		t.Errorf("a filter and a strategy that leave one node: %v", got)
	}
}

func TestSelectorReports(t *testing.T) {
	nodes := []string{"127.0.0.1:1", "127.0.0.1:2"}
	n := &network{down: map[string]bool{nodes[0]: true}}
	e := newEjector()
	c := newClient(t, n, selector.Random, nodes, WithBalancer(balancer(t, WithEjector(e))), WithRetriable(true),
		WithReporter(func(service string, node *registry.Node, err error) {
			if service == "hello" && err != nil {
				e.trip(false, node.Address)
			}
		}))
	for range 100 {
		if err := call(c); err != nil {
			t.Fatal(err)
		}
	}
	dead := 0
	for _, hit := range n.hits {
		if hit == nodes[0] {
			dead++
		}
	}
	if dead != 1 || len(n.hits) != 101 {
		t.Errorf("the dead node got %d of %d attempts, want 1 of 101", dead, len(n.hits))
	}
}

func TestSelectorProbesAsItWasTold(t *testing.T) {
	for _, retriable := range []bool{false, true} {
		e := newEjector()
		e.trip(false, "127.0.0.1:1")
		e.probes["127.0.0.1:1"] = 1
		n := &network{}
		c := newClient(t, n, selector.Random, []string{"127.0.0.1:1", "127.0.0.1:2"}, WithBalancer(balancer(t, WithEjector(e))), WithRetriable(retriable))
		if err := call(c); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.asked, []bool{retriable}) || n.hits[0] != "127.0.0.1:1" {
			t.Errorf("probes %v, hits %v", e.asked, n.hits)
		}
	}
}

// go-micro's plugin puts its strategy into each call, and counts for all of
// them: a call that comes between two attempts of another leads the second one
// back to the node that failed.
func TestSelectorUnderTheRoundRobinPlugin(t *testing.T) {
	nodes := []string{"127.0.0.1:1", "127.0.0.1:2"}
	n := &network{down: map[string]bool{nodes[0]: true}}
	c := roundrobin.NewClientWrapper()(newClient(t, n, selector.Random, nodes))
	n.meanwhile = func() {
		if err := call(c); err != nil {
			t.Errorf("a call between two attempts: %v", err)
		}
	}
	for range 10 {
		if err := call(c); err != nil {
			t.Fatalf("%v, after %v", err, n.hits)
		}
	}
	n.down, n.hits = nil, nil
	for range 10 {
		if err := call(c); err != nil {
			t.Fatal(err)
		}
	}
	for pair := range slices.Chunk(n.hits, len(nodes)) {
		if !slices.Equal(sorted(pair), nodes) {
			t.Fatalf("healthy nodes have their turns no more: %v", n.hits)
		}
	}
}

func TestSelectorUnderConcurrentCalls(t *testing.T) {
	nodes := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
	n := &network{down: map[string]bool{nodes[0]: true, nodes[1]: true}}
	c := newClient(t, n, selector.Random, nodes)
	options := make([]client.CallOption, 0, 8) // room that calls could share
	options = append(options, client.WithSelectOption(selector.WithFilter(func(in []*registry.Service) []*registry.Service { return in })))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := call(c, options...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSelectorUnknownService(t *testing.T) {
	reg := registry.NewMemoryRegistry()
	inner := selector.NewSelector(selector.Registry(reg))
	s, err := NewSelector(inner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Select("nobody"); !errors.Is(err, selector.ErrNotFound) {
		t.Errorf("error %v, want %v", err, selector.ErrNotFound)
	}
	if s.String() != inner.String() || s.Options().Registry != reg {
		t.Error("it does not show what it wraps")
	}
	s.Reset("nobody")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewSelectorRefuses(t *testing.T) {
	if s, err := NewSelector(nil); err == nil || s != nil {
		t.Errorf("NewSelector(nil) = %v, %v", s, err)
	}
	if s, err := NewSelector(selector.DefaultSelector, nil); err == nil || s != nil {
		t.Errorf("a nil option: %v, %v", s, err)
	}
}

// fixed is a selector that has no use for strategies.
type fixed struct {
	selector.Selector
	nodes []string
}

func (f fixed) Select(string, ...selector.SelectOption) (selector.Next, error) {
	return selector.Random([]*registry.Service{service("1", f.nodes...)}), nil
}

func TestSelectorThatIgnoresStrategies(t *testing.T) {
	e := newEjector()
	s, err := NewSelector(fixed{nodes: numbered(3)}, WithBalancer(balancer(t, WithEjector(e))))
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for range 200 {
		next, err := s.Select("hello")
		if err != nil {
			t.Fatal(err)
		}
		if one, two := pick(t, next), pick(t, next); one == two {
			again++
		}
	}
	if again > 2 { // Random may insist: (1/3)^filterTries
		t.Errorf("%d of 200 second attempts went to the first's node", again)
	}
	e.trip(false, "n1")
	ejected := 0
	for range 200 {
		next, err := s.Select("hello")
		if err != nil {
			t.Fatal(err)
		}
		if pick(t, next) == "n1" {
			ejected++
		}
	}
	if ejected > 2 {
		t.Errorf("%d of 200 attempts went to the ejected node", ejected)
	}
}

// late asks its strategy only when it is asked for a node, and counts how often,
// and what it is told of them.
type late struct {
	fixed
	asked, marked int
}

func (l *late) Select(_ string, opts ...selector.SelectOption) (selector.Next, error) {
	o := selector.SelectOptions{Strategy: selector.Random}
	for _, opt := range opts {
		opt(&o)
	}
	return func() (*registry.Node, error) {
		l.asked++
		return o.Strategy([]*registry.Service{service("1", l.nodes...)})()
	}, nil
}

func (l *late) Mark(string, *registry.Node, error) { l.marked++ }

func TestSelectorThatIsLate(t *testing.T) {
	inner := &late{fixed: fixed{nodes: numbered(3)}}
	s, err := NewSelector(inner)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Select("hello")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{pick(t, next): true, pick(t, next): true, pick(t, next): true}
	if len(seen) != 3 || inner.asked != 3 {
		t.Errorf("nodes %v after asking %d times, want 3 of each", seen, inner.asked)
	}
	if s.Mark("hello", &registry.Node{}, nil); inner.marked != 1 {
		t.Errorf("the selector was told of %d attempts, want 1", inner.marked)
	}
}

func TestFilterNextOfFewNodes(t *testing.T) {
	next := new(Call).FilterNext(selector.Random([]*registry.Service{service("1", "n0")}))
	for range 3 {
		if a := pick(t, next); a != "n0" {
			t.Errorf("picked %s", a)
		}
	}
	turns := NewRoundRobin()
	next = new(Call).FilterNext(turns([]*registry.Service{service("1", "n0", "n1")}))
	for range 10 {
		if one, two := pick(t, next), pick(t, next); one == two {
			t.Errorf("%s twice in a row", one)
		}
	}
	for name, broken := range map[string]selector.Next{
		"no node":      selector.Random([]*registry.Service{service("1")}),
		"no address":   selector.Random([]*registry.Service{service("1", "")}),
		"empty-handed": strategies()["empty-handed"](nil),
	} {
		if node, err := new(Call).FilterNext(broken)(); !errors.Is(err, selector.ErrNoneAvailable) {
			t.Errorf("%s: %v, %v", name, node, err)
		}
	}
}

func TestRoundRobinTakesTurnsOverCalls(t *testing.T) {
	strategy := NewRoundRobin()
	hello := []*registry.Service{service("1", "n0", "", "n1"), nil, service("2", "n2")}
	other := []*registry.Service{{Name: "other", Nodes: service("1", "m0", "m1").Nodes}}
	hits := map[string]int{}
	for range 300 {
		hits[pick(t, strategy(hello))]++
		hits[pick(t, strategy(other))]++
	}
	for address, want := range map[string]int{"n0": 100, "n1": 100, "n2": 100, "m0": 150, "m1": 150} {
		if hits[address] != want {
			t.Errorf("%s got %d of 300 calls, want %d", address, hits[address], want)
		}
	}
}

func TestRoundRobinSharesTheLoadOfAnEjectedNode(t *testing.T) {
	e := newEjector()
	e.trip(true, "n1")
	b := balancer(t, WithEjector(e))
	strategy := NewRoundRobin()
	services := []*registry.Service{service("1", numbered(3)...)}
	hits := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				node, err := b.NewCall(true).Strategy(strategy)(services)()
				mu.Lock()
				hits[fmt.Sprint(node.Address, err)]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if hits["n0<nil>"] != 200 || hits["n2<nil>"] != 200 {
		t.Errorf("hits %v, want 200 each", hits)
	}
}
