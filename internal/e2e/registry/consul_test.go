// Package registry has the flat selector follow real registries.
package registry

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/consultest"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/selectorx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leak.GoMicro()...) }

// agent is a Consul agent.
type agent struct{ *consultest.Agent }

// start starts an agent that deregisters at once what has been critical for long
// enough, rather than within half a minute.
func start(t *testing.T) agent {
	t.Helper()
	return agent{consultest.Start(t, "-hcl", `check_reap_interval = "1s"`)}
}

func (a agent) registry() registry.Registry { return consul.NewRegistry(registry.Addrs(a.Address())) }

// instance is one node of a service, by the number of its port.
func instance(port int) *registry.Service {
	return &registry.Service{Name: "shop", Version: "1", Nodes: []*registry.Node{{
		Id: fmt.Sprintf("shop-%d", port), Address: fmt.Sprintf("127.0.0.1:%d", port), Metadata: map[string]string{"protocol": "mucp"},
	}}}
}

func register(t *testing.T, r registry.Registry, ports ...int) {
	t.Helper()
	for _, port := range ports {
		if err := r.Register(instance(port), registry.RegisterTTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
}

// flat is a flat selector that asks the agent.
func flat(t *testing.T, a agent, opts ...selectorx.FlatOption) *selectorx.Flat {
	t.Helper()
	f, err := selectorx.NewFlat(append([]selectorx.FlatOption{selectorx.WithRegistry(a.registry())}, opts...)...)
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

// known is which ports a selector knows.
func known(t *testing.T, f *selectorx.Flat) (ports []string) {
	t.Helper()
	_, err := f.Select("shop", selector.WithStrategy(func(services []*registry.Service) selector.Next {
		for _, s := range services {
			for _, n := range s.Nodes {
				ports = append(ports, n.Address[len("127.0.0.1:"):])
			}
		}
		return selector.Random(services)
	}))
	if err != nil && !errors.Is(err, selector.ErrNotFound) {
		t.Fatal(err)
	}
	slices.Sort(ports)
	return ports
}

// await returns how long it took until a selector knew just these ports.
func await(t *testing.T, f *selectorx.Flat, within time.Duration, want ...string) time.Duration {
	t.Helper()
	start := time.Now()
	for ; ; time.Sleep(5 * time.Millisecond) {
		got := known(t, f)
		if slices.Equal(got, want) {
			return time.Since(start)
		}
		if time.Since(start) > within {
			t.Fatalf("after %v the ports %q are known, want %q; %+v", time.Since(start), got, want, f.Status())
		}
	}
}

func stays(t *testing.T, f *selectorx.Flat, d time.Duration, want ...string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < d; time.Sleep(50 * time.Millisecond) {
		if got := known(t, f); !slices.Equal(got, want) {
			t.Fatalf("after %v the ports %q are known, want %q; %+v", time.Since(start), got, want, f.Status())
		}
	}
}

// TestFlatSelector: instances register and deregister; the agent dies, comes back with
// nothing in it, and instances register again.
func TestFlatSelector(t *testing.T) {
	t.Parallel()
	a := start(t)
	r := a.registry()
	register(t, r, 1, 2, 3)
	f := flat(t, a, selectorx.WithKeep(20*time.Second), selectorx.WithResync(2*time.Second))
	await(t, f, 10*time.Second, "1", "2", "3")

	register(t, r, 4)
	t.Logf("registered: known after %v", await(t, f, 10*time.Second, "1", "2", "3", "4"))
	if err := r.Deregister(instance(4)); err != nil {
		t.Fatal(err)
	}
	t.Logf("deregistered: gone after %v", await(t, f, 10*time.Second, "1", "2", "3"))

	a.Kill()
	stays(t, f, 5*time.Second, "1", "2", "3")
	if s := f.Status(); s[0].Err == nil || s[0].Age < time.Second {
		t.Errorf("the agent is dead, and the status is %+v", s)
	}

	a.Restart() // it keeps its catalogue in memory: it is empty
	for start := time.Now(); !f.Status()[0].Kept; time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > 15*time.Second {
			t.Fatalf("the agent is back and empty, and the status is %+v", f.Status())
		}
	}
	stays(t, f, 3*time.Second, "1", "2", "3")
	again := a.registry() // a client remembers what it has registered
	register(t, again, 2, 5)
	await(t, f, 10*time.Second, "1", "2", "3", "5")
	t.Logf("what did not register again: gone after %v", await(t, f, 40*time.Second, "2", "5"))
	if s := f.Status(); s[0].Err != nil || s[0].Kept {
		t.Errorf("in the end the status is %+v", s)
	}
}

// TestFlatSelectorForgetsTheSilent: an instance that has died without a word is
// forgotten once its check is critical.
func TestFlatSelectorForgetsTheSilent(t *testing.T) {
	t.Parallel()
	a := start(t)
	r := a.registry()
	register(t, r, 1)
	if err := r.Register(instance(2), registry.RegisterTTL(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	f := flat(t, a)
	await(t, f, 10*time.Second, "1", "2")
	t.Logf("forgotten after %v", await(t, f, 30*time.Second, "1"))
}
