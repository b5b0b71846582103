package telemetry

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/rpcconv"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// serverMetrics are those of requests and keys.
type serverMetrics struct {
	duration metric.Float64Histogram
	requests metric.Int64Counter
	events   metric.Int64Counter
	store    metric.Float64Histogram

	calls      sets[callKey]
	outcomes   sets[outcomeOf]
	kinds      sets[kindOf]
	operations sets[operationOf]
}

// What attribute sets are made of.
type (
	outcomeOf struct {
		service, endpoint string
		outcome           wrapper.Outcome
		reason            string
	}
	kindOf struct {
		service, endpoint string
		kind              idempotency.EventKind
	}
	operationOf struct {
		operation idempotency.StoreOperation
		err       string
	}
)

func newServerMetrics(m metric.Meter) (*serverMetrics, error) {
	s := new(serverMetrics)
	duration, err := rpcconv.NewServerCallDuration(m)
	s.duration = duration.Inst()
	i := instruments{meter: m, err: err}
	s.requests = i.counter("oncemore.server.requests", "{request}", "Requests by how they were answered, and why those that were refused were.")
	s.events = i.counter("oncemore.server.events", "{event}", "What happened to keys.")
	s.store = i.durations("oncemore.server.store.duration", "How long the store of the records took.")
	return s, i.err
}

func (s *serverMetrics) requestEnded(ctx context.Context, e *wrapper.RequestEnded) {
	s.duration.Record(ctx, e.Took.Seconds(), s.calls.of(callKey{e.Service, e.Endpoint, statusOf(e.Err)}, callAttrs).record...)
	s.requests.Add(ctx, 1, s.outcomes.of(outcomeOf{e.Service, e.Endpoint, e.Outcome, e.Reason}, outcomeAttrs).add...)
}

func (s *serverMetrics) guarded(ctx context.Context, e *wrapper.Guarded) {
	if e.Kind == idempotency.EventStoreOperation {
		key := operationOf{e.Operation, failureOf(e.Err)}
		s.store.Record(ctx, e.Took.Seconds(), s.operations.of(key, operationAttrs).record...)
		return
	}
	s.events.Add(ctx, 1, s.kinds.of(kindOf{e.Scope.Service, e.Scope.Endpoint, e.Kind}, kindAttrs).add...)
}

func (s *serverMetrics) panicked(ctx context.Context, e *wrapper.HandlerPanicked) {
	s.events.Add(ctx, 1, s.kinds.of(kindOf{e.Service, e.Endpoint, idempotency.EventPanicked}, kindAttrs).add...)
}

// failureOf is an error of a store in a word, of which there are few.
func failureOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	if code := idempotency.ReasonCode(err); code != "other" {
		return code
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

func outcomeAttrs(k outcomeOf) []attribute.KeyValue {
	attrs := []attribute.KeyValue{method(k.service, k.endpoint), outcomeKey.String(string(k.outcome))}
	if k.reason != "" {
		attrs = append(attrs, reasonKey.String(k.reason))
	}
	return attrs
}

func kindAttrs(k kindOf) []attribute.KeyValue {
	return []attribute.KeyValue{
		method(k.service, k.endpoint), eventKey.String(strings.ReplaceAll(k.kind.String(), " ", "_")),
	}
}

func operationAttrs(k operationOf) []attribute.KeyValue {
	attrs := []attribute.KeyValue{operationKey.String(string(k.operation))}
	if k.err != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(k.err))
	}
	return attrs
}
