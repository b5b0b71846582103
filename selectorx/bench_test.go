package selectorx

import (
	"testing"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

func benchCall(b *testing.B, e *ejector, strategy selector.Strategy, nodes int) {
	b.Helper()
	bal := balancer(b, WithEjector(frozen{open: e.open}))
	services := []*registry.Service{service("1", numbered(nodes)...)}
	var call Call
	b.ReportAllocs()
	for b.Loop() {
		call.Init(bal, false)
		if _, err := call.Strategy(strategy)(services)(); err != nil {
			b.Fatal(err)
		}
	}
}

// frozen is an Ejector without locks, so that the benchmark shows the Call.
type frozen struct{ open map[string]bool }

func (f frozen) AnyOpen() bool { return len(f.open) > 0 }
func (f frozen) Open(address string) (open, refused bool) {
	refused, open = f.open[address]
	return open, refused
}
func (f frozen) Probe(string, bool) bool { return false }

func (f frozen) VisitOpen(v interface{ VisitOpen(address string) bool }) {
	for address := range f.open {
		if !v.VisitOpen(address) {
			return
		}
	}
}

func BenchmarkPick(b *testing.B) {
	oneOpen := newEjector()
	oneOpen.trip(false, "n1")
	elsewhere := newEjector()
	elsewhere.trip(false, "m1")
	half := newEjector()
	half.trip(false, numbered(300)[:200]...)
	b.Run("3 nodes/bare Random", func(b *testing.B) {
		services := []*registry.Service{service("1", numbered(3)...)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := selector.Random(services)(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("3 nodes/fast path/Random", func(b *testing.B) { benchCall(b, newEjector(), selector.Random, 3) })
	b.Run("3 nodes/fast path/RoundRobin", func(b *testing.B) { benchCall(b, newEjector(), NewRoundRobin(), 3) })
	b.Run("3 nodes/one open/Random", func(b *testing.B) { benchCall(b, oneOpen, selector.Random, 3) })
	b.Run("3 nodes/one open/RoundRobin", func(b *testing.B) { benchCall(b, oneOpen, NewRoundRobin(), 3) })
	b.Run("3 nodes/one open elsewhere/Random", func(b *testing.B) { benchCall(b, elsewhere, selector.Random, 3) })
	b.Run("300 nodes/fast path/Random", func(b *testing.B) { benchCall(b, newEjector(), selector.Random, 300) })
	b.Run("300 nodes/fast path/RoundRobin", func(b *testing.B) { benchCall(b, newEjector(), NewRoundRobin(), 300) })
	b.Run("300 nodes/one open/Random", func(b *testing.B) { benchCall(b, oneOpen, selector.Random, 300) })
	b.Run("300 nodes/two thirds open/Random", func(b *testing.B) { benchCall(b, half, selector.Random, 300) })
}

func BenchmarkRetry(b *testing.B) {
	services := []*registry.Service{service("1", numbered(3)...)}
	var call Call
	b.ReportAllocs()
	for b.Loop() {
		call.Init(nil, true)
		next := call.Strategy(selector.Random)(services)
		for range 2 {
			if _, err := next(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkSubstitute(b *testing.B) {
	nodes := service("1", numbered(3)...).Nodes
	var call Call
	b.ReportAllocs()
	for b.Loop() {
		call.Init(nil, true)
		if call.Substitute(nodes) == nil {
			b.Fatal("no node")
		}
	}
}

func TestFastPathAllocatesNothing(t *testing.T) {
	services := []*registry.Service{service("1", numbered(3)...)}
	node := services[0].Nodes[0]
	next := selector.Next(func() (*registry.Node, error) { return node, nil })
	strategy := selector.Strategy(func([]*registry.Service) selector.Next { return next })
	bal := balancer(t, WithEjector(frozen{}))
	var call Call
	o := new(selector.SelectOptions)
	got := testing.AllocsPerRun(100, func() {
		call.Init(bal, true)
		o.Strategy = strategy
		call.SelectOption()(o)
		if n, err := o.Strategy(services)(); n != node || err != nil {
			t.Error(n, err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations on the fast path of a Call that is used again", got)
	}
}
