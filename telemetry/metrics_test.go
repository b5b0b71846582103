package telemetry_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel/attribute"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/servertest"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/telemetry"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestMetricsOfRequests: each outcome, what happened to the key, and what the store took.
func TestMetricsOfRequests(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		server, client := watch(t), watch(t, telemetry.WithInstances())
		at.open(server, at.store(), new(Bank))
		c := at.caller(client)
		must(t, payTo(order7(t), c, "x"))
		must(t, payTo(order7(t), c, "x"))
		if err := payTo(order7(t), c, "y"); err == nil {
			t.Fatal("another payment with the same key was answered")
		}
		of := attribute.String("rpc.method", name)
		for outcome, n := range map[string]float64{"executed": 1, "replayed": 1, "refused": 1, "joined": -1} {
			server.want(t, n, "oncemore.server.requests", of, attribute.String("oncemore.outcome", outcome))
		}
		server.want(t, 1, "oncemore.server.requests", attribute.String("oncemore.reason", "mismatch"))
		server.want(t, 1, "oncemore.server.events", of, attribute.String("oncemore.event", "executed"))
		server.want(t, 1, "oncemore.server.store.duration", attribute.String("oncemore.operation", "complete"))
		server.want(t, 3, "rpc.server.call.duration", of)
		client.want(t, 3, "rpc.client.call.duration", of)
		client.want(t, 2, "oncemore.client.attempt.duration", of, attribute.String("oncemore.class", "ok"), attribute.String("server.address", "127.0.0.1"))
		if got := client.value(t, "oncemore.client.budget.left", attribute.String("oncemore.service", bank)); got <= 0 {
			t.Errorf("%v retries are left, want some", got)
		}
		client.want(t, -1, "oncemore.client.ambiguous")
	})
}

// TestMetricsOfTrouble: calls that end in a 500 are ambiguous, and retrying them empties
// the budget.
func TestMetricsOfTrouble(t *testing.T) {
	at := newTown(t, fixture.MUCP, nil)
	w := watch(t)
	at.open(watch(t), at.store(), &Bank{pay: func(context.Context) error { return errors.New("no") }})
	small, err := retryfunc.NewBudget(retryfunc.WithRatio(0.1), retryfunc.WithMinPerSecond(1))
	must(t, err)
	c := at.caller(w, oncemore.WithClient(wrapper.WithBudget(small), wrapper.WithPolicy(retryfunc.Always)))
	calls := 0.0
	for ; w.value(t, "oncemore.client.budget.emptied") < 1; calls++ {
		if err := payTo(t.Context(), c, "x"); err == nil {
			t.Fatal("a payment that fails was answered")
		}
	}
	w.want(t, 1, "oncemore.client.budget.emptied", attribute.String("oncemore.service", bank), attribute.Bool("oncemore.hedge", false))
	w.want(t, calls, "oncemore.client.ambiguous", attribute.String("rpc.method", name))
	if got := w.value(t, "oncemore.client.retries", attribute.String("rpc.method", name)); got < 1 {
		t.Errorf("%v calls were retried", got)
	}
}

// TestMetricsOfCircuits: an instance that refuses is ejected, and has been since then
// however often it is probed.
func TestMetricsOfCircuits(t *testing.T) {
	dead := fixture.RefusedAddress(t)
	at := newTown(t, fixture.MUCP, map[string][]string{bank: {dead}})
	w := watch(t)
	at.open(watch(t), at.store(), new(Bank))
	c := at.caller(w)
	of := attribute.String("server.address", dead)
	for w.value(t, "oncemore.client.circuit.state", of) < 1 {
		must(t, payTo(t.Context(), c, "x"))
	}
	w.want(t, 2, "oncemore.client.circuit.state", of, attribute.String("oncemore.service", bank))
	since := w.value(t, "oncemore.client.circuit.since", of)
	if since < 1e9 {
		t.Errorf("ejected since %v", since)
	}
	w.want(t, 1, "oncemore.client.circuit.transitions",
		attribute.String("oncemore.to", "open"), attribute.String("oncemore.reason", "refused"), attribute.String("oncemore.service", bank))
	for w.value(t, "oncemore.client.circuit.transitions", attribute.String("oncemore.to", "half_open")) < 1 {
		must(t, payTo(t.Context(), c, "x"))
	}
	w.want(t, since, "oncemore.client.circuit.since", of)
}

// mute is a registry that may stop answering.
type mute struct {
	*fixture.Registry

	silent atomic.Bool
}

func (m *mute) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	if m.silent.Load() {
		return nil, errors.New("the registry is away")
	}
	return m.Registry.GetService(name, opts...)
}

func (m *mute) Watch(...registry.WatchOption) (registry.Watcher, error) {
	return nil, errors.New("the registry is away")
}

// TestMetricsOfSnapshots: a selector that goes by what the registry told before it failed.
func TestMetricsOfSnapshots(t *testing.T) {
	w := watch(t)
	reg := &mute{Registry: fixture.NewRegistry(map[string][]string{bank: {"127.0.0.1:1"}})}
	observing, err := wrapper.Observing(w)
	must(t, err)
	s, err := selectorx.NewFlat(selectorx.WithRegistry(reg), selectorx.WithResync(time.Second), observing)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	_, err = s.Select(bank)
	must(t, err)
	reg.silent.Store(true)
	of := attribute.String("oncemore.service", bank)
	w.await(t, "the snapshot is stale", func() bool { return w.value(t, "oncemore.client.snapshot.stale", of) == 1 })
	reg.silent.Store(false)
	w.await(t, "it is fresh again", func() bool { return w.value(t, "oncemore.client.snapshot.stale", of) == 0 })
}

// gone is a store that can list nothing any more, and counts how often it is asked.
type gone struct {
	*memstore.Store

	asked int
}

func (g *gone) List(context.Context, idempotency.Filter) iter.Seq2[idempotency.Entry, error] {
	g.asked++
	return func(yield func(idempotency.Entry, error) bool) {
		yield(idempotency.Entry{}, errors.New("the store is away"))
	}
}

// TestMetricsOfKeys: one that runs.
func TestMetricsOfKeys(t *testing.T) {
	for kind, open := range map[string]func(at *town) inspected{
		"memory": func(at *town) inspected { return at.store() },
		"redis":  func(at *town) inspected { return at.redis() },
	} {
		t.Run(kind, func(t *testing.T) {
			server := watch(t)
			at := newTown(t, fixture.MUCP, nil)
			store := open(at)
			counted := make(chan float64, 1)
			of := attribute.String("oncemore.service", bank)
			at.open(server, store, &Bank{pay: func(context.Context) error {
				counted <- server.value(t, "oncemore.server.keys.running", of)
				return nil
			}})
			registration, err := server.WatchKeys(store, bank)
			must(t, err)
			t.Cleanup(func() { must(t, registration.Unregister()) })
			must(t, payTo(order7(t), at.caller(watch(t)), "x"))
			if got := <-counted; got != 1 {
				t.Errorf("%v keys run, want 1", got)
			}
			server.want(t, 0, "oncemore.server.keys.orphaned", of)
		})
	}
}

// inspected is a store that can list its keys.
type inspected interface {
	idempotency.Store
	idempotency.Inspector
}

// redis is a store in a Redis of its own.
func (at *town) redis() *redisstore.Store {
	at.t.Helper()
	s, err := redisstore.Open(at.t.Context(), servertest.StartRedis(at.t).URL())
	must(at.t, err)
	at.t.Cleanup(func() { must(at.t, s.Close()) })
	return s
}

// TestKeysOfAFailingStore: it takes nothing but its own metrics away, and is not asked by
// each who collects.
func TestKeysOfAFailingStore(t *testing.T) {
	away := &gone{Store: newTown(t, fixture.MUCP, nil).store()}
	failing := watch(t)
	_, err := failing.WatchKeys(away, bank)
	must(t, err)
	failing.Observe(t.Context(), &wrapper.RequestEnded{Service: bank, Endpoint: pay, Outcome: wrapper.OutcomeUnkeyed})
	for range 3 {
		failing.want(t, 1, "oncemore.server.requests")
		failing.want(t, -1, "oncemore.server.keys.orphaned")
	}
	if away.asked != 1 {
		t.Errorf("the store was asked %d times, want once", away.asked)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	w := watch(t)
	for _, tt := range []struct {
		name string
		err  func() error
	}{
		{"nil option", func() error { _, err := telemetry.New(nil); return err }},
		{"WithTracerProvider(nil)", func() error { _, err := telemetry.New(telemetry.WithTracerProvider(nil)); return err }},
		{"WithMeterProvider(nil)", func() error { _, err := telemetry.New(telemetry.WithMeterProvider(nil)); return err }},
		{"WithPropagator(nil)", func() error { _, err := telemetry.New(telemetry.WithPropagator(nil)); return err }},
		{`WatchKeys(<nil>, "bank")`, func() error { _, err := w.WatchKeys(nil, bank); return err }},
		{`WatchPool(db, "bank")`, func() error { _, err := w.WatchPool(nil, bank); return err }},
	} {
		if err := tt.err(); err == nil || !strings.Contains(err.Error(), tt.name) {
			t.Errorf("error %v, want one that names %s", err, tt.name)
		}
	}
}
