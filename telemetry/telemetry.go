package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// scope is the name of the instrumentation.
const scope = "github.com/oncemore-dev/oncemore/telemetry"

// Telemetry is a wrapper.Tracer that tells OpenTelemetry. Give it to
// oncemore.WithObserver, or to wrapper.WithObserver and wrapper.WithServerObserver; one is
// enough for a process. It is safe for concurrent use. New makes one.
type Telemetry struct {
	tracer     trace.Tracer
	meter      metric.Meter
	propagator propagation.TextMapPropagator
	client     *clientMetrics
	server     *serverMetrics
	fleet      *fleet
	instances  bool
	starts     cache[target, *spanStart]
}

var _ wrapper.Tracer = (*Telemetry)(nil)

// New makes a Telemetry. A wrong option is an error that names it; others are those of
// the meter provider.
func New(opts ...Option) (*Telemetry, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{
		tracer:     o.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:      o.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.propagator,
		instances:  o.instances,
	}
	var errs [3]error
	t.client, errs[0] = newClientMetrics(t.meter)
	t.server, errs[1] = newServerMetrics(t.meter)
	t.fleet, errs[2] = newFleet(t.meter)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return t, nil
}

// Close stops the metrics that are read when they are collected: circuits, budgets and
// snapshots. Those of WatchKeys and WatchPool end by themselves.
func (t *Telemetry) Close() error { return t.fleet.registration.Unregister() }

// Observe counts an event, and ends the span that it tells the end of.
func (t *Telemetry) Observe(ctx context.Context, e wrapper.Event) {
	switch e := e.(type) {
	case *wrapper.CallEnded:
		t.client.callEnded(ctx, e)
		t.fleet.setBudget(e.Service, e.BudgetLeft)
		endCall(ctx, e)
	case *wrapper.AttemptEnded:
		t.client.attemptEnded(ctx, e, t.instances)
		endAttempt(ctx, e)
	case *wrapper.Decided:
		t.client.decided(ctx, e)
	case *wrapper.BudgetEmptied:
		t.client.budgetEmptied(ctx, e)
	case *wrapper.CircuitChanged:
		t.fleet.setCircuit(e)
		t.client.circuitChanged(ctx, e, t.fleet.serviceOf(e.Address))
	case *wrapper.SnapshotChanged:
		t.fleet.setSnapshot(e.Service, e.Stale())
	case *wrapper.RequestEnded:
		t.server.requestEnded(ctx, e)
		endRequest(ctx, e)
	case *wrapper.Guarded:
		t.server.guarded(ctx, e)
	case *wrapper.HandlerPanicked:
		t.server.panicked(ctx, e)
	}
}
