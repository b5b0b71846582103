package selectorx

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
)

// TestFlatFollowsChurn: 3,000 nodes of go-micro's memory registry, which loses events
// and swaps them, come and go while calls select and try them. What is known in the end
// is what the registry knows, and no call gets what was gone for long.
func TestFlatFollowsChurn(t *testing.T) {
	const fleet, changes = 3000, 400
	reg := registry.NewMemoryRegistry(registry.Services(map[string][]*registry.Service{"hello": {nodes("1", numbered(fleet)...)}}))
	f := flat(t, reg)
	e := newEjector()
	e.trip(false, "n7")
	e.trip(true, "n8")
	b := balancer(t, WithEjector(e))
	var over atomic.Bool
	var gone sync.Map // address → when it was deregistered
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for !over.Load() {
				call, began := b.NewCall(true), time.Now()
				next, err := f.Select("hello", call.SelectOption())
				if err != nil {
					t.Error(err)
					return
				}
				node, err := next()
				if err != nil {
					t.Error(err)
					return
				}
				load := call.Begin(node.Address)
				known, _ := gone.Load(node.Address)
				if since, ok := known.(time.Time); ok && began.Sub(since) > 10*time.Second {
					t.Errorf("%s was deregistered %v ago", node.Address, began.Sub(since))
				}
				load.End(OutcomeAnswered, time.Since(began))
			}
		})
	}
	for i := range changes {
		var err error
		if i%2 == 0 {
			err = reg.Register(nodes("1", fmt.Sprintf("m%d", i)))
		} else {
			address := fmt.Sprintf("n%d", 10+rand.IntN(fleet-10))
			gone.Store(address, time.Now())
			err = reg.Deregister(nodes("1", address))
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	awaitSame(t, f, reg)
	over.Store(true)
	callers.Wait()

	address := "n9"
	if err := reg.Deregister(nodes("1", address)); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); slices.Contains(seen(t, f), address); time.Sleep(time.Millisecond) {
		if time.Since(start) > 5*time.Second { // without the event it would be a resync
			t.Fatal("a deregistered node is still there")
		}
	}
}

// awaitSame returns when a Flat knows what the registry knows.
func awaitSame(t *testing.T, f *Flat, reg registry.Registry) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		services, err := reg.GetService("hello")
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range services {
			for _, n := range s.Nodes {
				want = append(want, n.Address)
			}
		}
		got := seen(t, f)
		if slices.Equal(got, sorted(want)) {
			return
		}
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%d nodes are known, and the registry has %d", len(got), len(want))
		}
	}
}

func TestFlatAllocations(t *testing.T) {
	for name, prepare := range flatCases(t) {
		run := prepare(3000)
		most := 3.0
		if name == "bare" {
			most = 0
		}
		if got := testing.AllocsPerRun(200, func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		}); got > most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, most)
		}
	}
}

// Whatever is open, tried or ejected among many, the choice is right: the rules have
// tests of their own, which few nodes decide.
func TestFlatDrawsAmongMany(t *testing.T) {
	f := flatOf(t, 3000)
	for name, open := range map[string]int{"few": 20, "nearly half": 1400, "two thirds": 2000, "all but one": 2999} {
		t.Run(name, func(t *testing.T) {
			e := newEjector()
			all := numbered(3000)
			e.trip(true, all[:open]...)
			b := balancer(t, WithEjector(e))
			for range 10 {
				call := b.NewCall(true)
				tried := map[string]bool{}
				for range min(5, 3000-open) {
					next, err := f.Select("hello", call.SelectOption())
					if err != nil {
						t.Fatal(err)
					}
					address := pick(t, next)
					if _, ejected := e.open[address]; ejected || tried[address] {
						t.Fatalf("picked %s, ejected %v, tried %v", address, ejected, tried[address])
					}
					tried[address] = true
				}
			}
		})
	}
}
