package grpcguard_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
)

func TestRunsOnce(t *testing.T) {
	h := &health{}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
	for i := range 3 {
		reply, replayed, err := call(keyed(t.Context(), "k"), conn, "db")
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(reply, serving()) {
			t.Errorf("call %d: %v", i+1, reply)
		}
		if replayed != (i > 0) {
			t.Errorf("call %d: replayed %v", i+1, replayed)
		}
	}
	if h.runs.Load() != 1 {
		t.Errorf("%d executions, want 1", h.runs.Load())
	}
	_, _, err := call(keyed(t.Context(), "k"), conn, "cache")
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("another request: %v, want InvalidArgument", err)
	}
	for range 2 {
		if _, _, err := call(t.Context(), conn, "db"); err != nil {
			t.Error(err)
		}
	}
	if h.runs.Load() != 3 {
		t.Errorf("%d executions with two calls that have no key, want 3", h.runs.Load())
	}
}

// TestInstances: a record of one instance answers for another, which has never seen
// the type of the reply; and other interceptors see it.
func TestInstances(t *testing.T) {
	guard := newGuard(t)
	first, second := &health{}, &health{}
	outer := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		reply, err := handler(ctx, req)
		if _, ok := reply.(*grpc_health_v1.HealthCheckResponse); err == nil && !ok {
			t.Errorf("an interceptor sees a %T", reply)
		}
		return reply, err
	}
	for _, h := range []*health{first, second} {
		conn := dial(t, serve(t, h, outer, newServer(t, guard).Unary))
		if reply, _, err := call(keyed(t.Context(), "k"), conn, "db"); err != nil || !proto.Equal(reply, serving()) {
			t.Errorf("%v, %v", reply, err)
		}
	}
	if first.runs.Load() != 1 || second.runs.Load() != 0 {
		t.Errorf("%d and %d executions, want 1 and 0", first.runs.Load(), second.runs.Load())
	}
}

func TestDuplicatesJoin(t *testing.T) {
	const duplicates = 8
	release := make(chan struct{})
	h := &health{check: func(context.Context, int32) (*grpc_health_v1.HealthCheckResponse, error) {
		<-release
		return serving(), nil
	}}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
	var group sync.WaitGroup
	for range duplicates {
		group.Go(func() {
			if reply, _, err := call(keyed(t.Context(), "k"), conn, "db"); err != nil || !proto.Equal(reply, serving()) {
				t.Errorf("%v, %v", reply, err)
			}
		})
	}
	for h.runs.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	group.Wait()
	if h.runs.Load() != 1 {
		t.Errorf("%d executions, want 1", h.runs.Load())
	}
}

// TestCallerLeaves: the execution goes on, and the retry gets its answer.
func TestCallerLeaves(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	h := &health{check: func(ctx context.Context, _ int32) (*grpc_health_v1.HealthCheckResponse, error) {
		close(running)
		<-release
		return serving(), ctx.Err()
	}}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
	ctx, leave := context.WithCancel(keyed(t.Context(), "k"))
	left := make(chan error)
	go func() {
		_, _, err := call(ctx, conn, "db")
		left <- err
	}()
	<-running
	leave()
	if err := <-left; status.Code(err) != codes.Canceled {
		t.Errorf("%v, want Canceled", err)
	}
	close(release)
	if _, replayed, err := call(keyed(t.Context(), "k"), conn, "db"); err != nil || !replayed {
		t.Errorf("the retry: replayed %v, %v", replayed, err)
	}
	if h.runs.Load() != 1 {
		t.Errorf("%d executions, want 1", h.runs.Load())
	}
}

// TestErrors: the first caller and its duplicates get the same status, with its
// details, where the error is an answer; else the next call executes again.
func TestErrors(t *testing.T) {
	detailed, err := status.New(codes.NotFound, "no such service").WithDetails(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		err  error
		want codes.Code
		runs int32
	}{
		"final, with details": {detailed.Err(), codes.NotFound, 1},
		"out of range":        {status.Error(codes.OutOfRange, "no"), codes.OutOfRange, 1},
		"failed":              {status.Error(codes.Internal, "no"), codes.Internal, 1},
		"plain":               {errors.New("no"), codes.Unknown, 1},
		"data loss":           {status.Error(codes.DataLoss, "no"), codes.DataLoss, 1},
		"in a sentence":       {fmt.Errorf("ask the bank: %w", status.Error(codes.NotFound, "no")), codes.NotFound, 1},
		"unavailable":         {status.Error(codes.Unavailable, "no"), codes.Unavailable, 2},
		"exhausted":           {status.Error(codes.ResourceExhausted, "no"), codes.ResourceExhausted, 2},
		"timed out":           {status.Error(codes.DeadlineExceeded, "no"), codes.DeadlineExceeded, 2},
		"context":             {context.DeadlineExceeded, codes.DeadlineExceeded, 2},
		"canceled":            {status.Error(codes.Canceled, "no"), codes.Canceled, 2},
		"aborted":             {status.Error(codes.Aborted, "no"), codes.Aborted, 2},
		"marked not done":     {idempotency.NotDone(status.Error(codes.NotFound, "no")), codes.NotFound, 2},
		"marked final":        {idempotency.Final(status.Error(codes.Unavailable, "no")), codes.Unavailable, 1},
		"not UTF-8":           {errors.New("no \xff"), codes.Unknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := &health{check: func(context.Context, int32) (*grpc_health_v1.HealthCheckResponse, error) { return nil, test.err }}
			conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
			_, _, first := call(keyed(t.Context(), "k"), conn, "db")
			_, replayed, second := call(keyed(t.Context(), "k"), conn, "db")
			if status.Code(first) != test.want {
				t.Errorf("%v, want %v", first, test.want)
			}
			if a, b := status.Convert(first).Proto(), status.Convert(second).Proto(); !proto.Equal(a, b) {
				t.Errorf("the first got %v, the second %v", a, b)
			}
			if h.runs.Load() != test.runs || replayed != (test.runs == 1) {
				t.Errorf("%d executions, replayed %v, want %d executions", h.runs.Load(), replayed, test.runs)
			}
		})
	}
}

// TestUnsettledIsTold: a caller learns that no record is kept of an error, where its code
// does not say so, and the error stays what it is. A handler that passes it on has no
// answer either, and says so in its own name.
func TestUnsettledIsTold(t *testing.T) {
	detailed, err := status.New(codes.NotFound, "no").WithDetails(wrapperspb.String("detail"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		err  error
		want string // in the status
	}{
		"marked not done":     {idempotency.NotDone(detailed.Err()), "unsettled; service=clinic"},
		"timeout in its text": {fmt.Errorf("charge: %w", context.DeadlineExceeded), ""},
		"final":               {detailed.Err(), ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(context.Context, int32) (*grpc_health_v1.HealthCheckResponse, error) { return nil, test.err }
			below := dial(t, serve(t, &health{check: answer}, newServer(t, newGuard(t)).Unary))
			relays := &health{check: func(ctx context.Context, _ int32) (*grpc_health_v1.HealthCheckResponse, error) {
				_, _, err := call(keyed(ctx, "k"), below, "db")
				return nil, err
			}}
			above := dial(t, serve(t, relays, newServer(t, newGuard(t)).Unary))
			for who, conn := range map[string]*grpc.ClientConn{"the callee": below, "who calls it": above} {
				_, _, err := call(keyed(t.Context(), "k"), conn, "db")
				text := status.Convert(err).Proto().String()
				if got := strings.Contains(text, "unsettled; service=clinic"); got != (test.want != "") {
					t.Errorf("%s answers %v, %s; want %q", who, err, text, test.want)
				}
				if test.want != "" && (status.Code(err) != codes.NotFound || !strings.Contains(text, "StringValue")) {
					t.Errorf("%s answers %v, want the handler's own error with its detail", who, text)
				}
			}
		})
	}
}

func TestPanic(t *testing.T) {
	h := &health{check: func(context.Context, int32) (*grpc_health_v1.HealthCheckResponse, error) { panic("secret") }}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
	for range 2 {
		_, _, err := call(keyed(t.Context(), "k"), conn, "db")
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want Internal", err)
		}
	}
	if h.runs.Load() != 1 {
		t.Errorf("%d executions, want 1", h.runs.Load())
	}
}

func TestKeys(t *testing.T) {
	required := []grpcguard.ServerOption{grpcguard.WithRequired(check)}
	for _, test := range []struct {
		name     string
		options  []grpcguard.ServerOption
		metadata []string
		want     codes.Code
		runs     int32 // of two calls
	}{
		{"none", nil, nil, codes.OK, 2},
		{"none, required", required, nil, codes.InvalidArgument, 0},
		{"none, all required", []grpcguard.ServerOption{grpcguard.WithRequired()}, nil, codes.InvalidArgument, 0},
		{"of this call", required, []string{"idempotency-key", "k", "idempotency-for", "clinic/Health.Check"}, codes.OK, 1},
		{"of an alias", append(required, grpcguard.WithAlias("hospital")), []string{"idempotency-key", "k", "idempotency-for", "hospital/Health.Check"}, codes.OK, 1},
		{"quoted", required, []string{"idempotency-key", `"k"`}, codes.OK, 1},
		{"foreign", nil, []string{"idempotency-key", "k", "idempotency-for", "bank/Health.Check"}, codes.OK, 2},
		{"foreign, required", required, []string{"idempotency-key", "k", "idempotency-for", "clinic/Health.Watch"}, codes.InvalidArgument, 0},
		{"malformed", nil, []string{"idempotency-key", "a b"}, codes.InvalidArgument, 0},
		{"repeated", nil, []string{"idempotency-key", "a", "idempotency-key", "b"}, codes.InvalidArgument, 0},
		{"bad time", nil, []string{"idempotency-key", "a", "idempotency-issued", "now"}, codes.InvalidArgument, 0},
		{"bad time of sending", nil, []string{"idempotency-key", "a", "idempotency-sent", "now"}, codes.InvalidArgument, 0},
		{"too old", nil, []string{"idempotency-key", "a", "idempotency-issued", "2001-02-03T04:05:06Z"}, codes.FailedPrecondition, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &health{}
			conn := dial(t, serve(t, h, newServer(t, newGuard(t), test.options...).Unary))
			for range 2 {
				_, _, err := call(metadata.NewOutgoingContext(t.Context(), metadata.Pairs(test.metadata...)), conn, "db")
				if status.Code(err) != test.want {
					t.Errorf("%v, want %v", err, test.want)
				}
			}
			if h.runs.Load() != test.runs {
				t.Errorf("%d executions, want %d", h.runs.Load(), test.runs)
			}
		})
	}
}

// TestIgnoredKeysAreTold, so that deduplication is not switched off by a name.
func TestIgnoredKeysAreTold(t *testing.T) {
	var log strings.Builder
	var ignored atomic.Int32
	guard := newGuard(t, idempotency.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		idempotency.WithHook(func(_ context.Context, e idempotency.Event) {
			if e.Kind == idempotency.EventIgnored && errors.Is(e.Err, idempotency.ErrForeignKey) {
				ignored.Add(1)
			}
		}))
	server := newServer(t, guard)
	for range 2 {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(
			idempotency.HeaderKey, "k", idempotency.HeaderFor, "hospital/Health.Check"))
		_, err := server.Unary(ctx, &grpc_health_v1.HealthCheckRequest{}, &grpc.UnaryServerInfo{FullMethod: check},
			func(context.Context, any) (any, error) { return serving(), nil })
		if err != nil {
			t.Error(err)
		}
	}
	if ignored.Load() != 2 {
		t.Errorf("%d events, want 2", ignored.Load())
	}
	if n := strings.Count(log.String(), "WithAlias"); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, log.String())
	}
}

// TestSharedNameIsTold: two packages have a method of one name.
func TestSharedNameIsTold(t *testing.T) {
	var log strings.Builder
	server := newServer(t, newGuard(t, idempotency.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))))
	for _, method := range []string{"/clinic.Health/Check", "/clinic.v1.Health/Check", "/a.Health/Check", "/b.Health/Check", "/a.Health/Check"} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(idempotency.HeaderKey, method))
		_, err := server.Unary(ctx, &grpc_health_v1.HealthCheckRequest{}, &grpc.UnaryServerInfo{FullMethod: method},
			func(context.Context, any) (any, error) { return serving(), nil })
		if err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "WithEndpoint"); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, log.String())
	}
}

// TestKeyDoesNotLeak into what a handler that sends its metadata on sends on.
func TestKeyDoesNotLeak(t *testing.T) {
	h := &health{check: func(ctx context.Context, _ int32) (*grpc_health_v1.HealthCheckResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		for name := range md {
			if strings.HasPrefix(name, "idempotency-") || name == "retry-count" {
				t.Errorf("the handler sees %s", name)
			}
		}
		if got := md.Get("tenant"); len(got) != 1 || got[0] != "a" {
			t.Errorf("the handler sees tenant %q", got)
		}
		return serving(), nil
	}}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t)).Unary))
	ctx := keyed(t.Context(), "k", "tenant", "a", "idempotency-for", "clinic/Health.Check", "retry-count", "0",
		"idempotency-issued", "2099-01-02T03:04:05Z", "idempotency-sent", "2099-01-02T03:04:05Z")
	if _, _, err := call(ctx, conn, "db"); err != nil {
		t.Error(err)
	}
}

func TestCallersDoNotMeet(t *testing.T) {
	h := &health{}
	caller := grpcguard.WithCaller(func(ctx context.Context, fullMethod string) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if name := md.Get("authorization"); len(name) == 1 && fullMethod == check {
			return name[0], nil
		}
		return "", status.Error(codes.Unauthenticated, "who are you?")
	})
	conn := dial(t, serve(t, h, newServer(t, newGuard(t), caller).Unary))
	for _, name := range []string{"ann", "bob", "ann"} {
		if _, _, err := call(keyed(t.Context(), "k", "authorization", name), conn, "db"); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := call(keyed(t.Context(), "k"), conn, "db"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v, want Unauthenticated", err)
	}
	if h.runs.Load() != 2 {
		t.Errorf("%d executions, want one for each caller", h.runs.Load())
	}
}

func TestWaitIsRefused(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	h := &health{check: func(context.Context, int32) (*grpc_health_v1.HealthCheckResponse, error) {
		close(running)
		<-release
		return serving(), nil
	}}
	conn := dial(t, serve(t, h, newServer(t, newGuard(t, idempotency.WithMaxWait(0))).Unary))
	done := make(chan error)
	go func() {
		_, _, err := call(keyed(t.Context(), "k"), conn, "db")
		done <- err
	}()
	<-running
	_, _, err := call(keyed(t.Context(), "k"), conn, "db")
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if status.Code(err) != codes.Aborted {
		t.Errorf("%v, want Aborted", err)
	}
}

// notKept is a codec's own kind of reply.
type notKept struct{}

// TestReplyThatIsNoProtobuf: the call is executed once, and its reply not repeated.
func TestReplyThatIsNoProtobuf(t *testing.T) {
	server := newServer(t, newGuard(t))
	runs := 0
	for i := range 2 {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(idempotency.HeaderKey, "k"))
		reply, err := server.Unary(ctx, wrapperspb.String("x"), &grpc.UnaryServerInfo{FullMethod: "/shop.Wallet/Tip"},
			func(context.Context, any) (any, error) { runs++; return notKept{}, nil })
		switch {
		case i == 0 && (err != nil || reply != notKept{}):
			t.Errorf("first: %v, %v", reply, err)
		case i == 1 && (status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "not kept")):
			t.Errorf("second: %v, %v", reply, err)
		}
	}
	if runs != 1 {
		t.Errorf("%d executions, want 1", runs)
	}
}

// TestRequestThatIsNoProtobuf passes through.
func TestRequestThatIsNoProtobuf(t *testing.T) {
	server := newServer(t, newGuard(t))
	runs := 0
	for range 2 {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(idempotency.HeaderKey, "k"))
		_, err := server.Unary(ctx, []byte("x"), &grpc.UnaryServerInfo{FullMethod: "/shop.Wallet/Tip"},
			func(context.Context, any) (any, error) { runs++; return notKept{}, nil })
		if err != nil {
			t.Error(err)
		}
	}
	if runs != 2 {
		t.Errorf("%d executions, want 2", runs)
	}
}

// TestUnknownReplyType: on an instance that knows no type for the reply, grpc sends
// the recorded bytes all the same.
func TestUnknownReplyType(t *testing.T) {
	guard := newGuard(t)
	var encoded [][]byte
	for range 2 {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(idempotency.HeaderKey, "k"))
		reply, err := newServer(t, guard).Unary(ctx, wrapperspb.String("x"), &grpc.UnaryServerInfo{FullMethod: "/shop.Wallet/Tip"},
			func(context.Context, any) (any, error) { return wrapperspb.String("reply"), nil })
		if err != nil {
			t.Fatal(err)
		}
		m, ok := reply.(proto.Message)
		if !ok {
			t.Fatalf("the reply is a %T", reply)
		}
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, raw)
	}
	if string(encoded[0]) != string(encoded[1]) {
		t.Errorf("%x, then %x", encoded[0], encoded[1])
	}
}

func TestCheck(t *testing.T) {
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, &health{})
	good := newServer(t, newGuard(t), grpcguard.WithRequired(check))
	if err := good.Check(server); err != nil {
		t.Error(err)
	}
	bad := newServer(t, newGuard(t), grpcguard.WithRequired("/grpc.health.v1.Health/Chek"))
	if err := bad.Check(server); err == nil || !strings.Contains(err.Error(), "Chek") {
		t.Errorf("error %v, want one that names the method", err)
	}
}

func TestNewServerRefuses(t *testing.T) {
	guard := newGuard(t)
	for _, test := range []struct {
		service string
		guard   *idempotency.Guard
		option  grpcguard.ServerOption
		want    string
	}{
		{"", guard, grpcguard.WithRequired(), `service ""`},
		{"clinic", nil, grpcguard.WithRequired(), "guard nil"},
		{"clinic", guard, nil, "option 0 is nil"},
		{"clinic", guard, grpcguard.WithRequired("Health.Check"), `WithRequired("Health.Check")`},
		{"clinic", guard, grpcguard.WithRequired("/Health.Check"), `WithRequired("/Health.Check")`},
		{"clinic", guard, grpcguard.WithRequired("/a/b/c"), `WithRequired("/a/b/c")`},
		{"clinic", guard, grpcguard.WithCaller(nil), "WithCaller"},
		{"clinic", guard, grpcguard.WithEndpoint(nil), "WithEndpoint"},
		{"clinic", guard, grpcguard.WithAlias(), "WithAlias"},
		{"clinic", guard, grpcguard.WithAlias("a", ""), `WithAlias(["a" ""])`},
	} {
		if _, err := grpcguard.NewServer(test.service, test.guard, test.option); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}
