package wrapper_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/grpcguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// echoer is what a service does that has left go-micro's server.
type echoer struct {
	runs atomic.Int32
	echo func(ctx context.Context, value string) (string, error)
}

// serve serves the fixture's Echo in plain grpc-go, under the name by which
// go-micro's clients call it, and returns where.
func (e *echoer) serve(t *testing.T, interceptors ...grpc.UnaryServerInterceptor) string {
	t.Helper()
	echo := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		req := new(wrapperspb.StringValue)
		if err := decode(req); err != nil {
			return nil, err
		}
		return intercept(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/callee.Fixture/Echo"},
			func(ctx context.Context, _ any) (any, error) {
				e.runs.Add(1)
				value, err := e.echo(ctx, req.GetValue())
				return wrapperspb.String(value), err
			})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ChainUnaryInterceptor(interceptors...))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "callee.Fixture", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: echo}},
	}, e)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it had begun
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func say(value string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return value, nil }
}

func newGuard(t *testing.T, store idempotency.Store, settings ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	guard, err := idempotency.New(store, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func newMemory(t *testing.T) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func plainServer(t *testing.T, guard *idempotency.Guard) *grpcguard.Server {
	t.Helper()
	s, err := grpcguard.NewServer(fixture.DefaultService, guard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestClientOfAPlainServer: go-micro's client with its wrapper, and a server that
// knows nothing of go-micro.
func TestClientOfAPlainServer(t *testing.T) {
	e := &echoer{echo: say("plain")}
	address := e.serve(t, plainServer(t, newGuard(t, newMemory(t))).Unary)
	c := wrap(t, fixture.NewClient(t, fixture.GRPC, []string{address}))
	for range 2 {
		got, err := fixture.Call(idempotency.WithKey(t.Context(), "k"), c, fixture.Echo, "x")
		if err != nil || got != "plain" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if e.runs.Load() != 1 {
		t.Errorf("%d executions, want 1", e.runs.Load())
	}
	for range 2 {
		if _, err := fixture.Call(t.Context(), c, fixture.Echo, "x"); err != nil {
			t.Error(err)
		}
	}
	if e.runs.Load() != 3 {
		t.Errorf("%d executions with two calls of their own, want 3", e.runs.Load())
	}
}

// TestMarksOfAPlainServer: what it answers in its handler's place is told apart
// from what the handler answers.
func TestMarksOfAPlainServer(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		guard := newGuard(t, newMemory(t))
		if err := guard.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		address := (&echoer{echo: say("x")}).serve(t, plainServer(t, guard).Unary)
		wantMark(t, callPlain(t, address), retryfunc.MarkRefused, retryfunc.Refused, 503)
	})
	t.Run("running", func(t *testing.T) {
		running, release := make(chan struct{}), make(chan struct{})
		e := &echoer{echo: func(context.Context, string) (string, error) {
			close(running)
			<-release
			return "x", nil
		}}
		address := e.serve(t, plainServer(t, newGuard(t, newMemory(t), idempotency.WithMaxWait(0))).Unary)
		first := make(chan error)
		go func() { first <- callPlain(t, address) }()
		<-running
		err := callPlain(t, address)
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
		wantMark(t, err, retryfunc.MarkRunning, retryfunc.Timeout, 409)
	})
	t.Run("mismatch", func(t *testing.T) {
		address := (&echoer{echo: say("x")}).serve(t, plainServer(t, newGuard(t, newMemory(t))).Unary)
		if err := callPlain(t, address); err != nil {
			t.Fatal(err)
		}
		c := fixture.NewClient(t, fixture.GRPC, []string{address}, client.Retries(0))
		_, err := fixture.Call(keyed(t.Context(), "k"), c, fixture.Echo, "another")
		if e := merrors.FromError(err); e.Id != retryfunc.MarkID || e.Code != 422 {
			t.Errorf("%v, want 422 of oncemore", err)
		}
	})
	t.Run("relayed", func(t *testing.T) {
		e := &echoer{echo: func(context.Context, string) (string, error) {
			refused := retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: fixture.DefaultService, NoRetry: true})
			s, err := status.New(codes.Unavailable, "busy").WithDetails(refused) // of another instance of itself, say
			return "", errors.Join(err, s.Err())
		}}
		address := e.serve(t, plainServer(t, newGuard(t, newMemory(t))).Unary)
		err := callPlain(t, address)
		wantMark(t, err, retryfunc.MarkRelayed, retryfunc.Application, 503)
		if mark, _ := retryfunc.ParseMark(err); !mark.NoRetry {
			t.Errorf("%+v has lost that it is not to be tried again", mark)
		}
	})
}

func callPlain(t *testing.T, address string) error {
	t.Helper()
	c := fixture.NewClient(t, fixture.GRPC, []string{address}, client.Retries(0))
	_, err := fixture.Call(keyed(t.Context(), "k"), c, fixture.Echo, "x")
	return err
}

func wantMark(t *testing.T, err error, kind retryfunc.MarkKind, class retryfunc.Class, code int32) {
	t.Helper()
	mark, _ := retryfunc.ParseMark(err)
	if mark.Kind != kind || mark.Service != fixture.DefaultService {
		t.Errorf("%v has the mark %+v, want %v of %s", err, mark, kind, fixture.DefaultService)
	}
	if got := retryfunc.Classify(err, retryfunc.Evidence{Client: "grpc", Service: fixture.DefaultService, Answered: true}); got != class {
		t.Errorf("%v is %v, want %v", err, got, class)
	}
	if got := merrors.FromError(err).Code; got != code {
		t.Errorf("%v has code %d, want %d", err, got, code)
	}
}

// TestPlainClient: a client that knows nothing of go-micro, and go-micro's server
// with its wrapper.
func TestPlainClient(t *testing.T) {
	node := fixture.Start(t, fixture.Config{Transport: fixture.GRPC, Setup: "memory"})
	c, err := grpcguard.NewClient(fixture.DefaultService)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.Dial(node.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(c.Unary))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	call := func(ctx context.Context, method string) (replayed bool, err error) {
		var trailer grpcmetadata.MD
		err = conn.Invoke(ctx, "/callee.Fixture/"+method, wrapperspb.String("1ms"), new(wrapperspb.StringValue), grpc.Trailer(&trailer))
		return len(trailer.Get(idempotency.HeaderReplayed)) > 0, err
	}
	for i := range 2 {
		if replayed, err := call(idempotency.WithKey(t.Context(), "k"), "Sleep"); err != nil || replayed != (i > 0) {
			t.Errorf("call %d: replayed %v, %v", i+1, replayed, err)
		}
	}
	if got := node.Executions(fixture.Sleep); got != 1 {
		t.Errorf("%d executions, want 1", got)
	}
	for i := range 2 { // a key is required there, and the client mints one for each call
		if replayed, err := call(t.Context(), "BadRequest"); status.Code(err) != codes.InvalidArgument || replayed {
			t.Errorf("call %d: replayed %v, %v", i+1, replayed, err)
		}
	}
	if got := node.Executions(fixture.BadRequest); got != 2 {
		t.Errorf("%d executions, want 2", got)
	}
}

// TestServersShareTheirRecords: while a service leaves go-micro's server some of its
// instances have one kind and some the other.
func TestServersShareTheirRecords(t *testing.T) {
	declined := merrors.New("bank", "no money", 402)
	for name, answer := range map[string]error{
		"reply": nil, "go-micro's error": declined, "grpc's error": status.Error(codes.NotFound, "no such student"),
	} {
		for _, plainFirst := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", plain first", false: ", go-micro first"}[plainFirst], func(t *testing.T) {
				guard := newGuard(t, newMemory(t))
				e := &echoer{echo: func(context.Context, string) (string, error) {
					if micro, ok := answer.(*merrors.Error); ok {
						s, err := status.New(codes.Unknown, micro.Error()).WithDetails(micro)
						return "", errors.Join(err, s.Err())
					}
					return "done", answer
				}}
				c := fixture.NewClient(t, fixture.GRPC, []string{e.serve(t, plainServer(t, guard).Unary)}, client.Retries(0))
				wrapped, err := wrapper.NewHandlerWrapper(fixture.DefaultService, guard)
				if err != nil {
					t.Fatal(err)
				}
				runs := 0
				handle := wrapped(func(_ context.Context, _ server.Request, rsp any) error {
					runs++
					reply(rsp, "done")
					return answer
				})
				ask := []func() (string, error){
					func() (string, error) { return fixture.Call(keyed(t.Context(), "k"), c, fixture.Echo, "x") },
					func() (string, error) {
						rsp := new(wrapperspb.StringValue)
						err := handle(keyed(t.Context(), "k"), request{endpoint: fixture.Echo, body: wrapperspb.String("x")}, rsp)
						return rsp.GetValue(), err
					},
				}
				if !plainFirst {
					ask[0], ask[1] = ask[1], ask[0]
				}
				for _, one := range ask {
					got, err := one()
					switch {
					case answer == nil && (err != nil || got != "done"):
						t.Errorf("%q, %v", got, err)
					case answer != nil && err == nil:
						t.Errorf("no error, want %v", answer)
					case answer == declined && merrors.FromError(err).Detail != "no money":
						t.Errorf("%v, want %v", err, answer)
					}
				}
				if total := runs + int(e.runs.Load()); total != 1 {
					t.Errorf("%d executions, want 1", total)
				}
			})
		}
	}
}
