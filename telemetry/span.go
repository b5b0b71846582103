package telemetry

import (
	"context"
	"net/http"
	"time"

	"go-micro.dev/v4/metadata"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// BeginCall begins the span of a call.
func (t *Telemetry) BeginCall(ctx context.Context, service, endpoint string) context.Context {
	start := t.start(service, endpoint)
	ctx, _ = t.tracer.Start(ctx, start.name, start.call...) //nolint:spancheck // its end is CallEnded
	return ctx
}

// BeginAttempt begins the span of an attempt, unless that of its call is not recorded, and
// puts its trace context into the metadata that goes to the server.
func (t *Telemetry) BeginAttempt(ctx context.Context, a *wrapper.AttemptBegun) context.Context {
	t.fleet.met(a.Service, a.Address)
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, _ = t.tracer.Start(ctx, t.start(a.Service, a.Endpoint).attempt, //nolint:spancheck // its end is AttemptEnded
			trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(a.Began))
	}
	if a.Address == "" || !trace.SpanContextFromContext(ctx).IsValid() && baggage.FromContext(ctx).Len() == 0 {
		return ctx // nothing is to be sent
	}
	md, ok := metadata.FromContext(ctx) // a copy
	if !ok {
		md = make(metadata.Metadata, 1)
	}
	t.propagator.Inject(ctx, carrier(md))
	return metadata.NewContext(ctx, md)
}

// BeginRequest begins the span of a request, below the attempt that it is, unless a
// wrapper around has begun one.
func (t *Telemetry) BeginRequest(ctx context.Context, service, endpoint string) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		if md, ok := metadata.FromContext(ctx); ok {
			ctx = t.propagator.Extract(ctx, carrier(md))
		}
	}
	start := t.start(service, endpoint)
	ctx, _ = t.tracer.Start(ctx, start.name, start.request...) //nolint:spancheck // its end is RequestEnded
	return ctx
}

// endCall ends the span of a call, which tells how it was answered after how many
// attempts, and whether it may have been executed though it failed.
func endCall(ctx context.Context, e *wrapper.CallEnded) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{attemptsKey.Int(len(e.Attempts))}
	if saved := e.Saved(); saved != wrapper.SavedByNothing {
		attrs = append(attrs, savedKey.String(saved.String()))
	}
	if e.Ambiguous() {
		attrs = append(attrs, ambiguousKey.Bool(true))
	}
	if e.Key != "" {
		attrs = append(attrs, idempotencyKey.String(e.Key))
	}
	span.SetAttributes(failure(attrs, statusOf(e.Err))...)
	if e.Err != nil {
		span.SetStatus(codes.Error, e.Err.Error())
	}
	span.End()
}

// endAttempt ends the span of an attempt when that did.
func endAttempt(ctx context.Context, e *wrapper.AttemptEnded) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{
		system(), method(e.Service, e.Endpoint), classKey.String(className(e.Class)),
		previousKey.Int(e.Number - 1), transparentKey.Bool(e.Transparent), hedgeKey.Bool(e.Hedge),
	}
	if e.Reason != "" {
		attrs = append(attrs, reasonKey.String(e.Reason.Code()))
	}
	if e.Address != "" {
		attrs = serverOf(attrs, e.Address)
	}
	span.SetAttributes(attrs...)
	if e.Class != retryfunc.None && e.Class != retryfunc.Application {
		span.SetStatus(codes.Error, e.Class.String())
	}
	span.End(trace.WithTimestamp(e.Began.Add(max(e.Duration, time.Nanosecond))))
}

// endRequest ends the span of a request, and links it to the execution whose answer it got.
func endRequest(ctx context.Context, e *wrapper.RequestEnded) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{outcomeKey.String(string(e.Outcome)), previousKey.Int(e.Previous)}
	if e.Reason != "" {
		attrs = append(attrs, reasonKey.String(e.Reason))
	}
	if e.Key != "" {
		attrs = append(attrs, idempotencyKey.String(e.Key))
	}
	span.SetAttributes(failure(attrs, statusOf(e.Err))...)
	if e.Outcome == wrapper.OutcomeReplayed || e.Outcome == wrapper.OutcomeJoined {
		if executed := parseOrigin(e.Origin); executed.IsValid() {
			span.AddLink(trace.Link{SpanContext: executed})
		}
	}
	if isFault(e.Err) {
		span.SetStatus(codes.Error, e.Err.Error())
	}
	span.End()
}

// isFault tells whether an error is the server's rather than its caller's, as the
// conventions want it for spans of kind server.
func isFault(err error) bool {
	if err == nil {
		return false
	}
	code := codeOf(err)
	return code == 0 || code >= http.StatusInternalServerError
}
