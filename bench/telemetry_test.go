package bench

import (
	"context"
	"net"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/telemetry"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// sampled is which part of the calls is traced.
const sampled = 0.01

// BenchmarkTelemetry is one successful call by a client of oncemore's that somebody
// observes, beside one that nobody does, and the same of plain grpc and otelgrpc.
func BenchmarkTelemetry(b *testing.B) {
	b.Run("wire=stub", func(b *testing.B) {
		plain := newStub(b, bank(nodeMetadata(), "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"))
		bare := calling(wrapped(b, plain), read)
		meters, tracers := newProviders(b)
		for _, s := range []struct {
			name string
			call func(context.Context) error
		}{
			{"bare", bare},
			{"an-observer", calling(wrapped(b, plain, wrapper.WithObserver(wrapper.ObserverFunc(func(context.Context, wrapper.Event) {}))), read)},
			{"telemetry-metrics", calling(wrapped(b, plain, told(b, meters, tracenoop.NewTracerProvider())), read)},
			{"telemetry-metrics-and-traces", calling(wrapped(b, plain, told(b, meters, tracers)), read)},
		} {
			b.Run("stack="+s.name, func(b *testing.B) { beside(b, bare, s.call) })
		}
	})
	b.Run("wire=grpc", func(b *testing.B) {
		meters, tracers := newProviders(b)
		listener := serveGRPC(b)
		bare := callingGRPC(b, listener)
		observed := callingGRPC(b, listener, grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithMeterProvider(meters), otelgrpc.WithTracerProvider(tracers), otelgrpc.WithPropagators(propagation.TraceContext{}))))
		b.Run("stack=bare", func(b *testing.B) { beside(b, bare, bare) })
		b.Run("stack=otelgrpc-metrics-and-traces", func(b *testing.B) { beside(b, bare, observed) })
	})
}

// newProviders gives what a program in production has: metrics that are read now and then,
// and one trace in a hundred, which is exported to nowhere here.
func newProviders(b *testing.B) (metric.MeterProvider, trace.TracerProvider) {
	b.Helper()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	tracers := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(sampled))), sdktrace.WithBatcher(nowhere{}))
	b.Cleanup(func() {
		must(b, meters.Shutdown(context.WithoutCancel(b.Context())))
		must(b, tracers.Shutdown(context.WithoutCancel(b.Context())))
	})
	return meters, tracers
}

type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

func told(b *testing.B, meters metric.MeterProvider, tracers trace.TracerProvider) wrapper.ClientOption {
	b.Helper()
	t, err := telemetry.New(telemetry.WithMeterProvider(meters), telemetry.WithTracerProvider(tracers))
	must(b, err)
	b.Cleanup(func() { must(b, t.Close()) })
	return wrapper.WithObserver(t)
}

// echo is a method of a service that answers with what it is told.
const echo = "/bench.Echo/Say"

func serveGRPC(b *testing.B) *bufconn.Listener {
	b.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			said := new(wrapperspb.StringValue)
			return said, decode(said)
		}}},
	}, struct{}{})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	b.Cleanup(func() {
		server.Stop()
		must(b, <-ended)
	})
	return listener
}

func callingGRPC(b *testing.B, listener *bufconn.Listener, opts ...grpc.DialOption) func(context.Context) error {
	b.Helper()
	conn, err := grpc.NewClient("passthrough:bench", append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	must(b, err)
	b.Cleanup(func() { must(b, conn.Close()) })
	asked, reply := wrapperspb.String("ann"), new(wrapperspb.StringValue)
	return func(ctx context.Context) error { return conn.Invoke(ctx, echo, asked, reply) }
}
