package grpcguard_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// check is the method that the tests call.
const check = "/grpc.health.v1.Health/Check"

// health is a service that counts its executions.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	runs  atomic.Int32
	check func(ctx context.Context, run int32) (*grpc_health_v1.HealthCheckResponse, error)
}

func (h *health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	run := h.runs.Add(1)
	if h.check == nil {
		return serving(), nil
	}
	return h.check(ctx, run)
}

func serving() *grpc_health_v1.HealthCheckResponse {
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
}

func newStore(t testing.TB) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func newGuard(t testing.TB, settings ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	quiet := idempotency.WithLogger(slog.New(slog.DiscardHandler))
	guard, err := idempotency.New(newStore(t), append([]idempotency.Option{quiet}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func newServer(t testing.TB, guard *idempotency.Guard, options ...grpcguard.ServerOption) *grpcguard.Server {
	t.Helper()
	s, err := grpcguard.NewServer("clinic", guard, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newClient(t testing.TB, options ...grpcguard.ClientOption) *grpcguard.Client {
	t.Helper()
	c, err := grpcguard.NewClient("clinic", options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve serves h behind the interceptors until the test ends, and returns where.
func serve(t testing.TB, h grpc_health_v1.HealthServer, interceptors ...grpc.UnaryServerInterceptor) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(interceptors...))
	grpc_health_v1.RegisterHealthServer(server, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it had begun
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// dial connects to a server until the test ends.
func dial(t testing.TB, address string, interceptors ...grpc.UnaryClientInterceptor) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(interceptors...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// keyed is a call's context as a foreign client would make it.
func keyed(ctx context.Context, key string, more ...string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(append([]string{idempotency.HeaderKey, key}, more...)...))
}

// call calls check, and tells whether the answer says that it is a replay.
func call(ctx context.Context, conn *grpc.ClientConn, service string) (reply *grpc_health_v1.HealthCheckResponse, replayed bool, err error) {
	var trailer metadata.MD
	reply, err = grpc_health_v1.NewHealthClient(conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: service}, grpc.Trailer(&trailer))
	return reply, len(trailer.Get(idempotency.HeaderReplayed)) > 0, err
}
