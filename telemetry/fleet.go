package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// mostInstances bounds the instances of which it is known whose they are.
const mostInstances = 10_000

// fleet is what is known of the services that are called, for gauges, which are read when
// they are collected. It is safe for concurrent use.
type fleet struct {
	mu        sync.RWMutex
	services  map[string]string // by the addresses of their instances
	circuits  map[string]circuit
	budgets   map[string]int
	snapshots map[string]bool // stale

	state, since, left, stale metric.Float64ObservableGauge
	registration              metric.Registration
}

type circuit struct {
	state breaker.State
	since time.Time // it was ejected, or came back
}

func newFleet(m metric.Meter) (*fleet, error) {
	f := &fleet{
		services: make(map[string]string), circuits: make(map[string]circuit),
		budgets: make(map[string]int), snapshots: make(map[string]bool),
	}
	i := instruments{meter: m}
	f.state = i.gauge("oncemore.client.circuit.state", "", "Whether calls go to an instance: 0 yes, 1 one probe, 2 it is ejected.")
	f.since = i.gauge("oncemore.client.circuit.since", "s", "Since when calls go to an instance, or do not, in Unix time; probes change nothing.")
	f.left = i.gauge("oncemore.client.budget.left", "{retry}", "How many retries a callee's budget would pay for.")
	f.stale = i.gauge("oncemore.client.snapshot.stale", "", "1 if the instances of a service are those that the registry told of before it failed.")
	if i.err != nil {
		return nil, i.err
	}
	var err error
	f.registration, err = m.RegisterCallback(f.observe, f.state, f.since, f.left, f.stale)
	return f, err
}

func (f *fleet) observe(_ context.Context, o metric.Observer) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for address, c := range f.circuits {
		of := metric.WithAttributes(serviceKey.String(f.services[address]), semconv.ServerAddress(address))
		o.ObserveFloat64(f.state, stateValue(c.state), of)
		o.ObserveFloat64(f.since, float64(c.since.UnixMilli())/1000, of)
	}
	for service, left := range f.budgets {
		o.ObserveFloat64(f.left, float64(left), metric.WithAttributes(serviceKey.String(service)))
	}
	for service, stale := range f.snapshots {
		value := 0.0
		if stale {
			value = 1
		}
		o.ObserveFloat64(f.stale, value, metric.WithAttributes(serviceKey.String(service)))
	}
	return nil
}

// met notes whose instance an address is.
func (f *fleet) met(service, address string) {
	if address == "" || f.serviceOf(address) == service {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.services) >= mostInstances {
		clear(f.services)
	}
	f.services[address] = service
}

// serviceOf is whose instance an address is; empty where that is not known.
func (f *fleet) serviceOf(address string) string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.services[address]
}

func (f *fleet) setCircuit(e *wrapper.CircuitChanged) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.To == breaker.Closed && e.Event == breaker.Ignored { // forgotten
		delete(f.circuits, e.Address)
		return
	}
	since, before := e.At, f.circuits[e.Address]
	if before.state != breaker.Closed && e.To != breaker.Closed {
		since = before.since // a probe that was not answered
	}
	f.circuits[e.Address] = circuit{e.To, since}
}

func (f *fleet) setBudget(service string, left int) {
	f.mu.RLock()
	had, known := f.budgets[service]
	f.mu.RUnlock()
	if known && had == left { // as most calls leave it
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.budgets[service] = left
}

func (f *fleet) setSnapshot(service string, stale bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snapshots[service] = stale
}

func stateValue(s breaker.State) float64 {
	switch s {
	case breaker.Open:
		return 2
	case breaker.HalfOpen:
		return 1
	default:
		return 0
	}
}

func stateName(s breaker.State) string {
	if s == breaker.HalfOpen {
		return "half_open"
	}
	return s.String()
}
