package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traceparent is the name of W3C Trace Context's header, in which an origin is written.
const traceparent = "traceparent"

// Origin is the trace context of an execution, for idempotency.WithOrigin: the spans of
// those who join it, or are answered with its record, link to it. Empty without a trace.
func (t *Telemetry) Origin(ctx context.Context) string {
	written := make(propagation.MapCarrier, 1)
	propagation.TraceContext{}.Inject(ctx, written)
	return written[traceparent]
}

// parseOrigin is the span context that Origin wrote; an invalid one for anything else.
func parseOrigin(origin string) trace.SpanContext {
	if origin == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: origin})
	return trace.SpanContextFromContext(ctx)
}
