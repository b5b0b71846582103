package telemetry_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"go-micro.dev/v4/errors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/telemetry"
)

// one is the only one of some spans.
func one(t *testing.T, what string, spans []tracetest.SpanStub) tracetest.SpanStub {
	t.Helper()
	if len(spans) != 1 {
		t.Fatalf("%d spans of %s, want 1: %+v", len(spans), what, spans)
	}
	return spans[0]
}

// says tells that a span has attributes.
func says(t *testing.T, s tracetest.SpanStub, attrs ...attribute.KeyValue) {
	t.Helper()
	have := attribute.NewSet(s.Attributes...)
	for _, want := range attrs {
		if got, ok := have.Value(want.Key); !ok || got != want.Value {
			t.Errorf("%s (%v): %s is %v, want %v", s.Name, s.SpanKind, want.Key, got.AsInterface(), want.Value.AsInterface())
		}
	}
}

func childOf(t *testing.T, child, parent tracetest.SpanStub) {
	t.Helper()
	if child.Parent.SpanID() != parent.SpanContext.SpanID() || child.SpanContext.TraceID() != parent.SpanContext.TraceID() {
		t.Errorf("%s (%v) is no child of %s (%v)", child.Name, child.SpanKind, parent.Name, parent.SpanKind)
	}
}

// TestSpansOfACall: the call, its attempt and the request at the server are one trace,
// and a repetition links to the execution whose answer it got.
func TestSpansOfACall(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		server, client := watch(t), watch(t)
		at.open(server, at.store(), new(Bank))
		c := at.caller(client)
		must(t, payTo(order7(t), c, "x"))
		call, attempt := one(t, "the call", client.ended(name)), one(t, "the attempt", client.ended("Attempt."+name))
		executed := one(t, "the request", server.ended(name))
		for i, want := range []trace.SpanKind{trace.SpanKindClient, trace.SpanKindClient, trace.SpanKindServer} {
			if s := []tracetest.SpanStub{call, attempt, executed}[i]; s.SpanKind != want || s.Status.Code != codes.Unset {
				t.Errorf("%s: kind %v and status %v, want %v and none", s.Name, s.SpanKind, s.Status, want)
			}
		}
		childOf(t, attempt, call)
		childOf(t, executed, attempt)
		says(t, call, attribute.String("rpc.system.name", "go-micro"), attribute.String("rpc.method", name),
			attribute.Int("oncemore.attempts", 1), attribute.String("oncemore.key", "order-7"))
		says(t, attempt, attribute.String("rpc.method", name), attribute.String("server.address", "127.0.0.1"),
			attribute.Int("previous-rpc-attempts", 0), attribute.String("oncemore.class", "ok"), attribute.Bool("oncemore.hedge", false), attribute.Bool("transparent-retry", false))
		says(t, executed, attribute.String("oncemore.outcome", "executed"), attribute.String("oncemore.key", "order-7"))
		if len(executed.Links) > 0 {
			t.Errorf("the execution links to %+v", executed.Links)
		}

		server.spans.Reset()
		must(t, payTo(order7(t), c, "x"))
		replayed := one(t, "the repetition", server.ended(name))
		says(t, replayed, attribute.String("oncemore.outcome", "replayed"))
		linksTo(t, replayed, executed)
	})
}

func linksTo(t *testing.T, s, executed tracetest.SpanStub) {
	t.Helper()
	if len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != executed.SpanContext.SpanID() ||
		s.Links[0].SpanContext.TraceID() != executed.SpanContext.TraceID() {
		t.Errorf("%s links to %+v, want %+v", s.Name, s.Links, executed.SpanContext)
	}
}

// TestSpansOfAJoin: a duplicate that waits for the execution links to it.
func TestSpansOfAJoin(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		server, client := watch(t), watch(t)
		runs, goOn := make(chan struct{}), make(chan struct{})
		at.open(server, at.store(), &Bank{pay: func(context.Context) error {
			close(runs)
			<-goOn
			return nil
		}})
		c := at.caller(client)
		var group sync.WaitGroup
		group.Go(func() { answered(t, payTo(order7(t), c, "x")) })
		<-runs
		group.Go(func() { answered(t, payTo(order7(t), c, "x")) })
		server.await(t, "a duplicate joins", func() bool {
			return server.value(t, "oncemore.server.events", attribute.String("oncemore.event", "joined")) >= 1
		})
		close(goOn)
		group.Wait()
		outcomes := make(map[string]tracetest.SpanStub)
		for _, s := range server.ended(name) {
			set := attribute.NewSet(s.Attributes...)
			outcome, _ := set.Value("oncemore.outcome")
			outcomes[outcome.AsString()] = s
		}
		linksTo(t, outcomes["joined"], outcomes["executed"])
	})
}

// TestSpansOfARetry: an attempt that was sent nowhere and the next one are children of
// the call, in their order and with their times.
func TestSpansOfARetry(t *testing.T) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			dead := fixture.RefusedAddress(t)
			at := newTown(t, transport, map[string][]string{bank: {dead}})
			server, client := watch(t), watch(t)
			at.open(server, at.store(), new(Bank))
			c := at.caller(client)
			for len(client.ended("Attempt."+name)) < 2 { // until the dead one was chosen first
				client.spans.Reset()
				server.spans.Reset()
				must(t, payTo(t.Context(), c, "x"))
			}
			call, attempts := one(t, "the call", client.ended(name)), client.ended("Attempt."+name)
			if len(attempts) != 2 {
				t.Fatalf("%d attempts, want 2", len(attempts))
			}
			for i, a := range attempts {
				childOf(t, a, call)
				says(t, a, attribute.Int("previous-rpc-attempts", i), attribute.Bool("transparent-retry", i == 1))
				if a.StartTime.Before(call.StartTime) || a.EndTime.After(call.EndTime) || !a.EndTime.After(a.StartTime) {
					t.Errorf("attempt %d from %v to %v, its call from %v to %v", i, a.StartTime, a.EndTime, call.StartTime, call.EndTime)
				}
			}
			says(t, attempts[0], attribute.String("oncemore.class", "not sent"), attribute.String("oncemore.reason", "granted"))
			if got := attempts[0].Status.Code; got != codes.Error {
				t.Errorf("the first attempt has the status %v", got)
			}
			says(t, call, attribute.Int("oncemore.attempts", 2), attribute.String("oncemore.by", "retry"))
			childOf(t, one(t, "the request", server.ended(name)), attempts[1])
			client.want(t, 1, "oncemore.client.transparent_retries", attribute.String("rpc.method", name))
			client.want(t, -1, "oncemore.client.retries")
			client.want(t, 1, "oncemore.client.retry.delay")
			client.want(t, 1, "oncemore.client.saved", attribute.String("oncemore.by", "retry"))
			client.want(t, 1, "oncemore.client.decisions", attribute.String("oncemore.class", "not sent"), attribute.Bool("oncemore.retry", true))
		})
	}
}

// TestSpansOfFailures: what a handler answers is its server's fault from 500 on; at the
// client each is an error.
func TestSpansOfFailures(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		for status, atServer := range map[int32]codes.Code{402: codes.Unset, 501: codes.Error} {
			server, client := watch(t), watch(t)
			own := newTown(t, at.Transport, nil)
			own.open(server, own.store(), &Bank{pay: func(context.Context) error { return errors.New("bank", "no", status) }})
			if err := payTo(t.Context(), own.caller(client), "x"); err == nil {
				t.Fatal("a payment that fails was answered")
			}
			call, request := one(t, "the call", client.ended(name)), one(t, "the request", server.ended(name))
			code := attribute.String("rpc.response.status_code", map[int32]string{402: "402", 501: "501"}[status])
			says(t, call, code)
			says(t, request, code)
			if call.Status.Code != codes.Error || request.Status.Code != atServer {
				t.Errorf("%d: status %v at the client and %v at the server", status, call.Status, request.Status)
			}
			client.want(t, 1, "rpc.client.call.duration", code, attribute.String("rpc.system.name", "go-micro"))
			server.want(t, 1, "rpc.server.call.duration", code)
		}
	})
}

// answered is must in another goroutine.
func answered(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestUnsampledCallsHaveNoAttempts, and their trace goes on at the server, which does not
// record it either.
func TestUnsampledCallsHaveNoAttempts(t *testing.T) {
	eachTown(t, func(t *testing.T, at *town) {
		spans := tracetest.NewInMemoryExporter()
		never := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.NeverSample()))
		server, client := watch(t), watch(t, telemetry.WithTracerProvider(never))
		at.open(server, at.store(), new(Bank))
		must(t, payTo(order7(t), at.caller(client), "x"))
		if got := len(spans.GetSpans()) + len(server.spans.GetSpans()); got > 0 {
			t.Errorf("%d spans, want none", got)
		}
		server.want(t, 1, "oncemore.server.requests", attribute.String("oncemore.outcome", "executed"))
	})
}

// TestOriginOfNothing is nothing, and that of a request is its span.
func TestOriginOfNothing(t *testing.T) {
	w := watch(t)
	if got := w.Origin(t.Context()); got != "" {
		t.Errorf("origin %q without a trace", got)
	}
	ctx := w.BeginRequest(t.Context(), bank, pay)
	if got := w.Origin(ctx); !strings.Contains(got, trace.SpanContextFromContext(ctx).SpanID().String()) {
		t.Errorf("origin %q", got)
	}
}
