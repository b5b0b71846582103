package selectorx

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// over runs a test over every strategy, and over Substitute.
func over(t *testing.T, test func(t *testing.T, next func(c *Call, services []*registry.Service) selector.Next)) {
	t.Helper()
	for name, strategy := range strategies() {
		t.Run(name, func(t *testing.T) {
			test(t, func(c *Call, services []*registry.Service) selector.Next {
				if name == "of its own mind" {
					// What it picks among all nodes is its own affair.
					return c.Strategy(elsewhereOnce(strategy, usableNodes(services)))(services)
				}
				return c.Strategy(strategy)(services)
			})
		})
	}
	for name, strategy := range map[string]selector.Strategy{
		"balance": nil, "Random": selector.Random, "RoundRobin": NewRoundRobin(), "go-micro RoundRobin": selector.RoundRobin, "custom": first,
	} {
		t.Run("Flat, "+name, func(t *testing.T) { test(t, overFlat(t, strategy)) })
	}
	t.Run("WithAddress", func(t *testing.T) {
		test(t, func(c *Call, services []*registry.Service) selector.Next {
			var nodes []*registry.Node
			for _, s := range services {
				nodes = append(nodes, nodesOf(s)...)
			}
			return func() (*registry.Node, error) {
				if node := c.Substitute(nodes); node != nil {
					return node, nil
				}
				return nil, selector.ErrNoneAvailable
			}
		})
	})
}

// overFlat starts Calls over a Flat selector that knows the services.
func overFlat(t *testing.T, strategy selector.Strategy) func(*Call, []*registry.Service) selector.Next {
	t.Helper()
	known := map[*registry.Service]*Flat{}
	return func(c *Call, services []*registry.Service) selector.Next {
		key := services[len(services)/2] // of several, the first may be nil
		if known[key] == nil {
			known[key] = flat(t, newTown(services...))
		}
		var opts []selector.SelectOption
		if strategy != nil {
			opts = append(opts, selector.WithStrategy(strategy))
		}
		next, err := known[key].Select("hello", append(opts, c.SelectOption())...)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
}

func usableNodes(services []*registry.Service) int {
	return judgeAll(nil, services, nil, "").count(maskUsable)
}

// elsewhereOnce lets strategy loose only where it is given a part of the nodes.
func elsewhereOnce(strategy selector.Strategy, all int) selector.Strategy {
	return func(services []*registry.Service) selector.Next {
		if usableNodes(services) == all {
			return first(services)
		}
		return strategy(services)
	}
}

func TestEveryNodeIsTriedBeforeAnyIsTriedAgain(t *testing.T) {
	layouts := map[string][]*registry.Service{
		"one node":            {service("1", "n0")},
		"two":                 {service("1", numbered(2)...)},
		"nine":                {service("1", numbered(9)...)},
		"versions":            {service("1", "n0", "n1"), service("2", "n2"), service("3", "n3", "n4")},
		"duplicates":          {service("1", "n0", "n1", "n0"), service("2", "n1", "n2")},
		"nil service":         {nil, service("1", "n0", "n1"), nil},
		"nil and empty nodes": {{Name: "hello", Nodes: []*registry.Node{nil, {Address: "n0"}, {Address: ""}, nil, {Address: "n1"}}}},
		"a version with none": {service("1"), service("2", "n0", "n1")},
		"more than the room":  {service("1", numbered(rateRoom+7)...)},
	}
	over(t, func(t *testing.T, start func(*Call, []*registry.Service) selector.Next) {
		t.Helper()
		for name, services := range layouts {
			var all []string
			for _, s := range services {
				for _, n := range nodesOf(s) {
					if n != nil && n.Address != "" {
						all = append(all, n.Address)
					}
				}
			}
			all = sorted(all)
			call := balancer(t).NewCall(true)
			next := start(call, services)
			var got []string
			for i := range all {
				if i > 0 && !call.Untried() {
					t.Fatalf("%s: Untried() is false after %d of %d", name, i, len(all))
				}
				got = append(got, pick(t, next))
			}
			if !slices.Equal(sorted(got), all) {
				t.Fatalf("%s: picked %v of %v", name, got, all)
			}
			if call.Untried() {
				t.Errorf("%s: Untried() after all were", name)
			}
			for range 20 {
				latest := got[len(got)-1]
				got = append(got, pick(t, next))
				if got[len(got)-1] == latest && len(all) > 1 {
					t.Fatalf("%s: %s twice in a row of %v", name, latest, got)
				}
			}
		}
	})
}

func TestNoNode(t *testing.T) {
	layouts := map[string][]*registry.Service{
		"no service":      nil,
		"nil service":     {nil},
		"no node":         {service("1")},
		"nil nodes":       {{Name: "hello", Nodes: []*registry.Node{nil, nil}}},
		"empty addresses": {service("1", "", "")},
	}
	for _, strategy := range []selector.Strategy{selector.Random, selector.RoundRobin, NewRoundRobin()} {
		for name, services := range layouts {
			e := newEjector()
			call := balancer(t, WithEjector(e)).NewCall(true)
			next := call.Strategy(strategy)(services)
			for range 2 {
				if node, err := next(); !errors.Is(err, selector.ErrNoneAvailable) {
					t.Errorf("%s: %v, %v", name, node, err)
				}
				e.trip(false, "n0")
			}
		}
	}
	if node := new(Call).Substitute([]*registry.Node{nil, {}}); node != nil {
		t.Errorf("Substitute = %v", node)
	}
	if new(Call).Untried() {
		t.Error("Untried() before the first pick")
	}
}

// picks returns every address that the first picks of many calls meet.
func picks(t *testing.T, b *Balancer, services []*registry.Service, start func(*Call, []*registry.Service) selector.Next) []string {
	t.Helper()
	var got []string
	for range 40 * len(numbered(len(services[0].Nodes))) {
		got = append(got, pick(t, start(b.NewCall(true), services)))
	}
	return sorted(got)
}

func TestCap(t *testing.T) {
	tests := []struct {
		nodes, broken, refused int // the first so many are open
		max                    float64
		admitted               []string // of n0, n1, …
	}{
		{nodes: 1, broken: 1, max: 0.5, admitted: []string{"n0"}},
		{nodes: 1, refused: 1, max: 0.5, admitted: []string{"n0"}}, // all ejected
		{nodes: 2, broken: 1, max: 0.5, admitted: []string{"n1"}},
		{nodes: 2, broken: 2, max: 0.5, admitted: []string{"n1"}},
		{nodes: 2, refused: 1, max: 0.5, admitted: []string{"n1"}},
		{nodes: 2, refused: 2, max: 0.5, admitted: []string{"n0", "n1"}},
		{nodes: 3, broken: 1, max: 0.5, admitted: []string{"n1", "n2"}},
		{nodes: 3, broken: 2, max: 0.5, admitted: []string{"n1", "n2"}},
		{nodes: 3, broken: 3, max: 0.5, admitted: []string{"n1", "n2"}},
		{nodes: 3, refused: 2, max: 0.5, admitted: []string{"n2"}},
		{nodes: 3, broken: 1, refused: 2, max: 0.5, admitted: []string{"n0", "n1", "n2"}}, // all ejected
		{nodes: 9, broken: 4, max: 0.5, admitted: []string{"n4", "n5", "n6", "n7", "n8"}},
		{nodes: 9, broken: 8, max: 0.5, admitted: []string{"n4", "n5", "n6", "n7", "n8"}},
		{nodes: 9, refused: 8, max: 0.5, admitted: []string{"n8"}},
		{nodes: 10, broken: 5, max: 0.5, admitted: []string{"n5", "n6", "n7", "n8", "n9"}},
		{nodes: 10, broken: 9, max: 0.5, admitted: []string{"n5", "n6", "n7", "n8", "n9"}},
		{nodes: 10, refused: 9, max: 0.5, admitted: []string{"n9"}},
		{nodes: 10, broken: 3, refused: 6, max: 0.5, admitted: []string{"n9"}},
		{nodes: 10, broken: 9, max: 0.9, admitted: []string{"n9"}},
		{nodes: 10, broken: 9, max: 0.3, admitted: []string{"n3", "n4", "n5", "n6", "n7", "n8", "n9"}},
		{nodes: 3, broken: 3, max: 1, admitted: []string{"n0", "n1", "n2"}}, // all ejected
		{nodes: 3, broken: 2, max: 1, admitted: []string{"n2"}},
		{nodes: 3, broken: 2, max: 0, admitted: []string{"n0", "n1", "n2"}},
		{nodes: 3, refused: 2, max: 0, admitted: []string{"n2"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d nodes, %d broken, %d refused, at most %v", tt.nodes, tt.broken, tt.refused, tt.max), func(t *testing.T) {
			all := numbered(tt.nodes)
			e := newEjector()
			e.trip(false, all[:tt.broken]...)
			e.trip(true, all[tt.broken:tt.broken+tt.refused]...)
			b := balancer(t, WithEjector(e), WithMaxEjected(tt.max))
			shuffled := slices.Clone(all)
			slices.Reverse(shuffled) // the order in the registry must not matter
			for _, addresses := range [][]string{all, shuffled, append(slices.Clone(all), all...)} {
				for selection, start := range map[string]func(*Call, []*registry.Service) selector.Next{
					"any": func(c *Call, s []*registry.Service) selector.Next { return c.Strategy(selector.Random)(s) }, "Flat": overFlat(t, selector.Random),
				} {
					got := picks(t, b, []*registry.Service{service("1", addresses...)}, start)
					if !slices.Equal(got, tt.admitted) {
						t.Errorf("%s of %v: picked %v, want %v", selection, addresses, got, tt.admitted)
					}
				}
			}
		})
	}
}

func TestCapOfManyNodes(t *testing.T) {
	const n = 4 * rateRoom
	all := numbered(n)
	e := newEjector()
	e.trip(false, all[:n-1]...)
	services := []*registry.Service{service("1", append(slices.Clone(all), all...)...)}
	call := balancer(t, WithEjector(e)).NewCall(true)
	next := call.Strategy(selector.Random)(services)
	seen := map[string]bool{}
	for call.Untried() || len(seen) == 0 {
		seen[pick(t, next)] = true
	}
	if len(seen) != n/2 {
		t.Errorf("%d of %d nodes were admitted, want half", len(seen), n)
	}
}

func TestEjectedNodesAreNotPicked(t *testing.T) {
	over(t, func(t *testing.T, start func(*Call, []*registry.Service) selector.Next) {
		t.Helper()
		e := newEjector()
		e.trip(false, "n1")
		e.trip(true, "n3")
		call := balancer(t, WithEjector(e)).NewCall(true)
		next := start(call, []*registry.Service{service("1", "n0", "n1"), service("2", "n2", "n3", "n1")})
		got := []string{pick(t, next), pick(t, next)}
		if !slices.Equal(sorted(got), []string{"n0", "n2"}) {
			t.Fatalf("picked %v", got)
		}
		if call.Untried() {
			t.Error("Untried() where only ejected nodes are")
		}
		if a := pick(t, next); a != "n3" {
			t.Fatalf("after %v: %s, want the node that refused others", got, a)
		}
		got = append(got, "n3")
		for range 10 {
			if a := pick(t, next); a == got[len(got)-1] || a != "n0" && a != "n2" {
				t.Fatalf("after %v: %s", got, a)
			} else {
				got = append(got, a)
			}
		}
	})
}

func TestTheOnlyAdmittedNodeIsTriedAgain(t *testing.T) {
	e := newEjector()
	e.trip(false, "n1")
	next := balancer(t, WithEjector(e)).NewCall(true).Strategy(selector.Random)([]*registry.Service{service("1", "n0", "n1")})
	for range 5 {
		if a := pick(t, next); a != "n0" {
			t.Fatalf("%s, whose circuit is open, rather than n0 again", a)
		}
	}
}

// TestClosedDoorIsKnockedOnOnce: a call that failed on all admitted nodes tries
// one that refused others before it goes back, and only once.
func TestClosedDoorIsKnockedOnOnce(t *testing.T) {
	e := newEjector()
	e.trip(true, "n1")
	next := balancer(t, WithEjector(e)).NewCall(true).Strategy(selector.Random)([]*registry.Service{service("1", "n0", "n1")})
	var got []string
	for range 5 {
		got = append(got, pick(t, next))
	}
	if !slices.Equal(got, []string{"n0", "n1", "n0", "n0", "n0"}) {
		t.Errorf("picked %v", got)
	}
}

func TestAllEjected(t *testing.T) {
	over(t, func(t *testing.T, start func(*Call, []*registry.Service) selector.Next) {
		t.Helper()
		e := newEjector()
		e.trip(true, "n0", "n1", "n2")
		call := balancer(t, WithEjector(e)).NewCall(false)
		next := start(call, []*registry.Service{service("1", numbered(3)...)})
		got := []string{pick(t, next)}
		if !call.Untried() {
			t.Error("no untried node, of two")
		}
		got = append(got, pick(t, next), pick(t, next))
		if !slices.Equal(sorted(got), numbered(3)) {
			t.Errorf("picked %v", got)
		}
	})
}

func TestProbes(t *testing.T) {
	over(t, func(t *testing.T, start func(*Call, []*registry.Service) selector.Next) {
		t.Helper()
		for _, retriable := range []bool{true, false} {
			e := newEjector()
			e.trip(false, "n1")
			e.probes["n1"] = 1
			b := balancer(t, WithEjector(e))
			services := []*registry.Service{service("1", numbered(3)...)}

			call := b.NewCall(retriable)
			next := start(call, services)
			if a := pick(t, next); a != "n1" {
				t.Fatalf("the probe went to %s", a)
			}
			got := []string{pick(t, next), pick(t, next)}
			if !slices.Equal(sorted(got), []string{"n0", "n2"}) {
				t.Errorf("after the probe: %v", got)
			}
			for range 30 {
				if a := pick(t, start(b.NewCall(retriable), services)); a == "n1" {
					t.Fatal("picked without a probe")
				}
			}
			if !slices.Equal(e.asked, []bool{retriable}) {
				t.Errorf("probes granted: %v", e.asked)
			}
		}
	})
}

func TestLaterAttemptsProbeOnlyForWantOfANewNode(t *testing.T) {
	e := newEjector()
	b := balancer(t, WithEjector(e))
	services := []*registry.Service{service("1", numbered(3)...)}
	next := b.NewCall(true).Strategy(first)(services)
	if a := pick(t, next); a != "n0" {
		t.Fatal(a)
	}
	e.trip(true, "n1")
	e.probes["n1"] = 1
	if a := pick(t, next); a != "n2" {
		t.Errorf("a retry probed %s although n2 is new", a)
	}
	if a := pick(t, next); a != "n1" {
		t.Errorf("a retry went back to %s rather than probe n1", a)
	}
}

func TestStrategyMayDecline(t *testing.T) {
	errFar := errors.New("too far")
	near := func(services []*registry.Service) selector.Next {
		return func() (*registry.Node, error) {
			for _, s := range services {
				for _, n := range s.Nodes {
					if n.Address == "near" {
						return n, nil
					}
				}
			}
			return nil, errFar
		}
	}
	e := newEjector()
	e.trip(true, "far")
	e.probes["far"] = 1
	b := balancer(t, WithEjector(e))
	next := b.NewCall(true).Strategy(near)([]*registry.Service{service("1", "far", "near", "farther")})
	for range 3 {
		if a := pick(t, next); a != "near" {
			t.Fatalf("picked %s against the strategy", a)
		}
	}
	if _, err := b.NewCall(true).Strategy(near)([]*registry.Service{service("1", "farther")})(); !errors.Is(err, errFar) {
		t.Errorf("error %v, want the strategy's own", err)
	}
}

func TestFastPathIsTheStrategyAlone(t *testing.T) {
	services := []*registry.Service{service("1", numbered(3)...)}
	runs := 0
	strategy := func(given []*registry.Service) selector.Next {
		runs++
		if &given[0] != &services[0] {
			t.Error("the services were copied")
		}
		return first(given)
	}
	e := newEjector()
	call := balancer(t, WithEjector(e)).NewCall(true)
	if a := pick(t, call.Strategy(strategy)(services)); a != "n0" || runs != 1 {
		t.Errorf("%s after %d runs", a, runs)
	}
	if got := call.Services(); &got[0] != &services[0] {
		t.Error("Services are not those the strategy ran on")
	}
}

func TestServicesAreNotChanged(t *testing.T) {
	e := newEjector()
	e.trip(false, "n0")
	services := []*registry.Service{service("1", numbered(3)...), service("2", "n3")}
	next := balancer(t, WithEjector(e)).NewCall(true).Strategy(selector.Random)(services)
	for range 5 {
		pick(t, next)
	}
	want := []*registry.Service{service("1", numbered(3)...), service("2", "n3")}
	for i := range want {
		if len(services[i].Nodes) != len(want[i].Nodes) {
			t.Fatalf("service %d was cut", i)
		}
		for k, n := range want[i].Nodes {
			if services[i].Nodes[k].Address != n.Address {
				t.Errorf("node %d/%d became %s", i, k, services[i].Nodes[k].Address)
			}
		}
	}
}

func TestMarkTried(t *testing.T) {
	var call Call
	call.MarkTried("n0")
	call.MarkTried("n0")
	if !call.Tried("n0") || call.Tried("n1") {
		t.Error("Tried does not know what MarkTried said")
	}
	for range 20 {
		var c Call
		c.MarkTried("n0")
		if a := pick(t, c.Strategy(selector.Random)([]*registry.Service{service("1", "n0", "n1")})); a != "n1" {
			t.Fatalf("picked %s", a)
		}
	}
}

func TestInitStartsOver(t *testing.T) {
	e := newEjector()
	b := balancer(t, WithEjector(e))
	services := []*registry.Service{service("1", numbered(9)...)}
	var call Call
	for range 3 {
		call.Init(b, true)
		if call.Untried() || call.Tried("n0") || call.Services() != nil {
			t.Fatal("the last call shows")
		}
		next := call.Strategy(first)(services)
		for i, want := range numbered(9) {
			if a := pick(t, next); a != want {
				t.Fatalf("pick %d is %s", i, a)
			}
		}
	}
}

func TestConcurrentAttempts(t *testing.T) {
	e := newEjector()
	b := balancer(t, WithEjector(e))
	services := []*registry.Service{service("1", numbered(5)...), service("2", numbered(7)...)}
	var wg sync.WaitGroup
	for range 8 {
		call := b.NewCall(true)
		next := call.Strategy(NewRoundRobin())(services)
		for worker := range 4 {
			wg.Go(func() {
				for i := range 25 {
					if node, err := next(); err != nil || !call.Tried(node.Address) {
						t.Errorf("Next = %v, %v", node, err)
					}
					if worker == 0 {
						e.trip(i%2 == 0, fmt.Sprintf("n%d", i%7))
					}
					call.Untried()
					call.Services()
					call.Substitute(services[worker%2].Nodes)
				}
			})
		}
	}
	wg.Wait()
}

func TestNewBalancerRefuses(t *testing.T) {
	nan := 0.0
	nan /= nan
	tests := []struct {
		opt  Option
		want string
	}{
		{WithMaxEjected(-0.1), "selectorx: WithMaxEjected(-0.1): must be from 0 to 1"},
		{WithMaxEjected(1.5), "selectorx: WithMaxEjected(1.5): must be from 0 to 1"},
		{WithMaxEjected(nan), "selectorx: WithMaxEjected(NaN): must be from 0 to 1"},
		{WithEjector(nil), "selectorx: WithEjector(nil): must be an Ejector"},
		{nil, "selectorx: nil Option: leave it out instead"},
	}
	for _, tt := range tests {
		if b, err := NewBalancer(tt.opt); err == nil || err.Error() != tt.want || b != nil {
			t.Errorf("NewBalancer = %v, %v, want %q", b, err, tt.want)
		}
	}
}
