package grpcguard_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
)

// arrivals remembers the metadata with which calls arrive.
type arrivals struct {
	mu   sync.Mutex
	list []metadata.MD
}

func (a *arrivals) see(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.mu.Lock()
	a.list = append(a.list, md)
	a.mu.Unlock()
	return handler(ctx, req)
}

func (a *arrivals) key(i int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.list[i].Get(idempotency.HeaderKey), ",")
}

func TestClientMintsKeys(t *testing.T) {
	seen := &arrivals{}
	conn := dial(t, serve(t, &health{}, seen.see), newClient(t).Unary)
	leaky := keyed(t.Context(), "leaked", "tenant", "a") // a gateway that sends everything on
	for range 2 {
		if _, _, err := call(leaky, conn, "db"); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := seen.key(0), seen.key(1); a == "" || a == b || strings.Contains(a+b, "leaked") {
		t.Errorf("keys %q and %q", a, b)
	}
	md := seen.list[0]
	for name, want := range map[string]string{"idempotency-for": "clinic/Health.Check", "retry-count": "0", "tenant": "a"} {
		if got := strings.Join(md.Get(name), ","); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := idempotency.ParseIssued(strings.Join(md.Get("idempotency-issued"), ",")); err != nil {
		t.Error(err)
	}
	if got := md.Get("idempotency-sent"); len(got) > 0 {
		t.Errorf("the first attempt of a minted key was sent at %q, when it was issued", got)
	}
}

func TestClientTakesTheCallersKey(t *testing.T) {
	h := &health{}
	seen := &arrivals{}
	conn := dial(t, serve(t, h, seen.see, newServer(t, newGuard(t)).Unary), newClient(t).Unary)
	for range 2 { // as after a restart of the caller
		if _, _, err := call(idempotency.WithKey(t.Context(), `"order-7"`), conn, "db"); err != nil {
			t.Fatal(err)
		}
	}
	if h.runs.Load() != 1 || seen.key(0) != "order-7" || seen.key(1) != "order-7" {
		t.Errorf("%d executions, keys %q and %q", h.runs.Load(), seen.key(0), seen.key(1))
	}
	if sent := seen.list[0].Get("idempotency-sent"); len(sent) != 1 {
		t.Error("nobody can tell when the attempt was sent")
	}
}

// TestClientWithinAnExecution derives keys, the same in a second run.
func TestClientWithinAnExecution(t *testing.T) {
	seen := &arrivals{}
	inner := dial(t, serve(t, &health{}, seen.see), newClient(t).Unary)
	outer := &health{check: func(ctx context.Context, run int32) (*grpc_health_v1.HealthCheckResponse, error) {
		if _, _, err := call(ctx, inner, "db"); err != nil {
			return nil, err
		}
		if run == 1 {
			return nil, status.Error(codes.Unavailable, "settles nothing")
		}
		return serving(), nil
	}}
	conn := dial(t, serve(t, outer, newServer(t, newGuard(t)).Unary))
	if _, _, err := call(keyed(t.Context(), "k"), conn, "db"); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if _, _, err := call(keyed(t.Context(), "k"), conn, "db"); err != nil {
		t.Error(err)
	}
	if a, b := seen.key(0), seen.key(1); a == "" || a == "k" || a != b {
		t.Errorf("keys %q and %q, want one that is derived", a, b)
	}
}

// TestClientInAnotherOrder executes nothing twice, and has not the last word: in the
// right order the same key is answered.
func TestClientInAnotherOrder(t *testing.T) {
	callee := &health{}
	inner := dial(t, serve(t, callee, newServer(t, newGuard(t)).Unary), newClient(t).Unary)
	orders := [][]string{{"db"}, {"web", "db"}, {"web", "db"}, {"db", "web"}}
	outer := &health{check: func(ctx context.Context, run int32) (*grpc_health_v1.HealthCheckResponse, error) {
		var errs []error
		for _, service := range orders[run-1] { // whatever becomes of the others
			_, _, err := call(ctx, inner, service)
			errs = append(errs, err)
		}
		if run == 1 {
			errs = append(errs, status.Error(codes.Unavailable, "settles nothing"))
		}
		return serving(), errors.Join(errs...)
	}}
	conn := dial(t, serve(t, outer, newServer(t, newGuard(t)).Unary))
	for i, executions := range []int32{1, 1, 1, 2} {
		_, _, err := call(keyed(t.Context(), "k"), conn, "outer")
		if (err == nil) != (i == 3) {
			t.Errorf("run %d ended with %v", i+1, err)
		}
		if (i == 1 || i == 2) && !strings.Contains(status.Convert(err).Message(), "WithStep") {
			t.Errorf("run %d ended with %v, which says nothing of WithStep", i+1, err)
		}
		if n := callee.runs.Load(); n != executions {
			t.Errorf("after run %d: %d executions, want %d", i+1, n, executions)
		}
	}
}

func TestClientSendsNoKeyWhereNoneIsNeeded(t *testing.T) {
	seen := &arrivals{}
	conn := dial(t, serve(t, &health{}, seen.see), newClient(t, grpcguard.WithSafe(check)).Unary)
	if _, _, err := call(keyed(t.Context(), "leaked"), conn, "db"); err != nil {
		t.Fatal(err)
	}
	if key := seen.key(0); key != "" {
		t.Errorf("key %q", key)
	}
}

func TestClientErrors(t *testing.T) {
	seen := &arrivals{}
	address := serve(t, &health{}, seen.see)
	_, _, err := call(idempotency.WithKey(t.Context(), "a b"), dial(t, address, newClient(t).Unary), "db")
	if status.Code(err) != codes.InvalidArgument || !errors.Is(err, idempotency.ErrInvalidKey) {
		t.Errorf("malformed key: %v", err)
	}
	broken := errors.New("no entropy")
	mint := grpcguard.WithKeyGenerator(func() (string, error) { return "", broken })
	_, _, err = call(t.Context(), dial(t, address, newClient(t, mint).Unary), "db")
	if status.Code(err) != codes.Internal || !errors.Is(err, broken) {
		t.Errorf("generator: %v", err)
	}
	if len(seen.list) != 0 {
		t.Errorf("%d calls were made", len(seen.list))
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, test := range []struct {
		service string
		option  grpcguard.ClientOption
		want    string
	}{
		{"", grpcguard.WithSafe(), `service ""`},
		{"clinic", nil, "option 0 is nil"},
		{"clinic", grpcguard.WithSafe("Check"), `WithSafe("Check")`},
		{"clinic", grpcguard.WithKeyGenerator(nil), "WithKeyGenerator"},
		{"clinic", grpcguard.WithClientEndpoint(nil), "WithClientEndpoint"},
	} {
		if _, err := grpcguard.NewClient(test.service, test.option); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

// TestSlowClock: a client whose clock is slow sends its repetition before the
// attempt that was released, by its own account. It learns so, and comes again.
func TestSlowClock(t *testing.T) {
	h := &health{check: func(_ context.Context, run int32) (*grpc_health_v1.HealthCheckResponse, error) {
		if run == 1 {
			return nil, status.Error(codes.Unavailable, "settles nothing")
		}
		return serving(), nil
	}}
	slow := func(
		ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		md.Set(idempotency.HeaderSent, idempotency.FormatIssued(time.Now().Add(-30*time.Second)))
		return invoke(metadata.NewOutgoingContext(ctx, md), method, req, reply, conn, options...)
	}
	address := serve(t, h, newServer(t, newGuard(t)).Unary)
	ctx := idempotency.WithKey(t.Context(), "k")
	if _, _, err := call(ctx, dial(t, address, newClient(t).Unary), "db"); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	ctx = idempotency.WithKey(t.Context(), "k") // in another process
	if _, _, err := call(ctx, dial(t, address, newClient(t).Unary, slow), "db"); err != nil {
		t.Errorf("a slow clock was taken for a late attempt: %v", err)
	}
	if h.runs.Load() != 2 {
		t.Errorf("%d executions, want 2", h.runs.Load())
	}
}
