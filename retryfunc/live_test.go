package retryfunc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	grpcc "github.com/go-micro/plugins/v4/client/grpc"
	grpcs "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"
)

// These tests pin the classes of errors that real go-micro clients make of real
// servers on loopback.

type Ask struct{ Name string }

type Reply struct{ Text string }

// Say is the handler under test: its methods go wrong in every way there is.
type Say struct {
	err     error         // what Fail answers
	failed  atomic.Int64  // how often Fail ran
	started chan struct{} // told when Hang runs
	release chan struct{} // closed to let it end
}

func (s *Say) Hello(_ context.Context, in *Ask, out *Reply) error {
	out.Text = "Hello " + in.Name
	return nil
}

func (s *Say) Fail(context.Context, *Ask, *Reply) error {
	s.failed.Add(1)
	return s.err
}

func (s *Say) Panic(context.Context, *Ask, *Reply) error { panic("out of coffee") }

// Hang heeds no context: a reply that meets the timeout of its attempt is a data
// race in go-micro's mucp client.
func (s *Say) Hang(context.Context, *Ask, *Reply) error {
	s.started <- struct{}{}
	<-s.release
	return nil
}

const service = "hello-srv"

var transports = []string{"mucp", "grpc"}

func quiet() logger.Logger { return logger.NewLogger(logger.WithLevel(logger.FatalLevel)) }

func serve(t *testing.T, kind string, handler *Say) (address string) {
	t.Helper()
	handler.started, handler.release = make(chan struct{}, 16), make(chan struct{})
	opts := []server.Option{
		server.Name(service), server.Address("127.0.0.1:0"), server.Registry(registry.NewMemoryRegistry()),
		server.Broker(broker.NewMemoryBroker()), server.WithLogger(quiet()),
	}
	s := server.NewRPCServer(append(opts, server.Transport(transport.NewHTTPTransport()))...)
	if kind == "grpc" {
		s = grpcs.NewServer(opts...)
	}
	if err := s.Handle(s.NewHandler(handler)); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(handler.release)
		if err := stop(s); err != nil {
			t.Errorf("stop %s server: %v", kind, err)
		}
	})
	return s.Options().Address
}

// stop stops s, and again if need be: a connection that ends while a mucp server
// stops may take the signal, and that Stop then waits for ever.
func stop(s server.Server) error {
	done := make(chan error, 3)
	for range cap(done) {
		go func() { done <- s.Stop() }()
		select {
		case err := <-done:
			return err
		case <-time.After(3 * time.Second):
		}
	}
	return errors.New("the server does not stop")
}

// seen is what one attempt looked like to its caller.
type seen struct {
	err     error // what Call returned
	asked   bool  // whether go-micro asked the policy at all
	class   Class // what a policy made of it, in a plain client
	careful bool  // whether Careful would have retried
}

type call struct {
	kind     string
	address  string // none: the registry is asked
	endpoint string
	nodes    []*registry.Service
	timeout  time.Duration // of the attempt, 5 s when 0
	request  client.Client // builds the request, when not the client itself
}

func (c call) do(ctx context.Context, t *testing.T) (got seen) {
	t.Helper()
	cl, stop := c.client(func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
		got.asked, got.class = true, attemptOf(ctx, req, n, err).Class
		got.careful, _ = Careful(ctx, req, n, err)
		return false, nil
	})
	defer stop()
	got.err = c.send(ctx, cl)
	return got
}

func (c call) send(ctx context.Context, cl client.Client) error {
	builder := cl
	if c.request != nil {
		builder = c.request
	}
	if c.timeout == 0 {
		c.timeout = 5 * time.Second
	}
	opts := []client.CallOption{
		func(o *client.CallOptions) { o.ConnectionTimeout, o.RequestTimeout = c.timeout, c.timeout },
	}
	if c.kind == "mucp" {
		opts = []client.CallOption{func(o *client.CallOptions) { o.ConnectionTimeout = c.timeout }}
	}
	if c.address != "" {
		opts = append(opts, client.WithAddress(c.address))
	}
	req := builder.NewRequest(service, c.endpoint, &Ask{Name: "xuxu"}, client.WithContentType("application/json"))
	return cl.Call(ctx, req, &Reply{}, opts...)
}

func (c call) client(policy client.RetryFunc) (cl client.Client, stop func()) {
	reg := registry.NewMemoryRegistry()
	for _, s := range c.nodes {
		_ = reg.Register(s)
	}
	sel := selector.NewSelector(selector.Registry(reg))
	tr := transport.NewHTTPTransport()
	opts := []client.Option{
		client.Selector(sel), client.Transport(tr), client.Retries(0), client.Retry(policy), client.PoolTTL(-time.Second),
		func(o *client.Options) { o.Registry, o.Logger = reg, quiet() },
		client.ContentType("application/json"), client.Broker(broker.NewMemoryBroker()),
	}
	if c.kind == "grpc" {
		cl = grpcc.NewClient(opts...)
	} else {
		cl = client.NewClient(opts...)
	}
	return cl, func() { _ = sel.Close() }
}

// refusedAddress returns an address at which nobody listens.
func refusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestLiveAnswers(t *testing.T) {
	tests := []struct {
		name       string
		endpoint   string
		err        error
		mucp, grpc Class
	}{
		{"success", "Say.Hello", nil, None, None},
		{"plain error", "Say.Fail", errors.New("no such student"), Application, Internal},
		{"bad request", "Say.Fail", merrors.BadRequest("hello", "no name"), Application, Application},
		{"not found", "Say.Fail", merrors.NotFound("hello", "no student"), Application, Application},
		{"internal", "Say.Fail", merrors.InternalServerError("hello", "boom"), Internal, Internal},
		{"bare 503", "Say.Fail", merrors.New("hello", "busy", 503), Application, Application},
		{"bare 429", "Say.Fail", merrors.New("hello", "slow down", 429), Application, Application},
		{"own deadline", "Say.Fail", context.DeadlineExceeded, Timeout, Timeout},
		{"own 408", "Say.Fail", merrors.Timeout("hello", "too slow"), Timeout, Timeout},
		{"unknown method", "Say.Nothing", nil, Application, Application},
		{"unknown handler", "Shout.Hello", nil, Application, Application},
		{"ill-formed endpoint", "Hello", nil, Application, Application},
		{"refused", "Say.Fail", NewMarked(503, "full", Mark{Kind: MarkRefused, Service: service}), Refused, Refused},
		{"refused by another", "Say.Fail", NewMarked(503, "full", Mark{Kind: MarkRefused, Service: "bank"}), Application, Application},
		{"still running", "Say.Fail", NewMarked(408, "wait", Mark{Kind: MarkRunning, Service: service}), Timeout, Timeout},
		{"relayed", "Say.Fail", NewMarked(500, "boom", Mark{Kind: MarkRelayed, Service: service}), Internal, Internal},
	}
	for _, kind := range transports {
		t.Run(kind, func(t *testing.T) {
			handler := &Say{}
			address := serve(t, kind, handler)
			for _, tt := range tests {
				want := map[string]Class{"mucp": tt.mucp, "grpc": tt.grpc}[kind]
				t.Run(tt.name, func(t *testing.T) {
					handler.err = tt.err
					got := call{kind: kind, address: address, endpoint: tt.endpoint}.do(context.Background(), t)
					if got.class != want {
						t.Errorf("policy saw %v, want %v (%T %v)", got.class, want, got.err, got.err)
					}
					if class := Classify(got.err, Evidence{Client: kind, Service: service, Answered: got.err != nil}); class != want {
						t.Errorf("answered: %v, want %v", class, want)
					}
					if retried := got.careful; retried != (want == Refused) {
						t.Errorf("Careful = %v for %v", retried, want)
					}
				})
			}
		})
	}
}

func TestLivePanic(t *testing.T) {
	for kind, want := range map[string]Class{"mucp": Timeout, "grpc": Internal} { // mucp never answers
		t.Run(kind, func(t *testing.T) {
			got := call{kind: kind, address: serve(t, kind, &Say{}), endpoint: "Say.Panic", timeout: 300 * time.Millisecond}.do(context.Background(), t)
			if class := Classify(got.err, Evidence{Client: kind, Service: service}); class != want {
				t.Errorf("Classify = %v, want %v (%v)", class, want, got.err)
			}
			if got.careful {
				t.Error("Careful retried a panic")
			}
		})
	}
}

func TestLiveNobodyThere(t *testing.T) {
	empty := []*registry.Service{{Name: service, Version: "1"}}
	for _, kind := range transports {
		for name, nodes := range map[string][]*registry.Service{"unknown service": nil, "no node": empty} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				got := call{kind: kind, endpoint: "Say.Hello", nodes: nodes}.do(context.Background(), t)
				if got.err == nil {
					t.Fatal("a call to nobody succeeded")
				}
				if class := Classify(got.err, Evidence{Client: kind, Service: service}); class != NoNode {
					t.Errorf("Classify = %v, want no node (%v)", class, got.err)
				}
				if got.careful {
					t.Error("Careful retried")
				}
			})
		}
	}
}

func TestLiveRefusedDial(t *testing.T) {
	for kind, want := range map[string]Class{"mucp": NotSent, "grpc": Broken} {
		t.Run(kind, func(t *testing.T) {
			got := call{kind: kind, address: refusedAddress(t), endpoint: "Say.Hello"}.do(context.Background(), t)
			if !got.asked || got.class != want {
				t.Errorf("policy saw %v, want %v (%v)", got.class, want, got.err)
			}
			if got.careful != (want == NotSent) {
				t.Errorf("Careful = %v", got.careful)
			}
			if class := Classify(got.err, Evidence{Client: kind, Service: service, Unsent: true}); class != NotSent {
				t.Errorf("unsent: %v, want not sent", class)
			}
			retry, err := OnError(context.Background(), nil, 0, got.err)
			if !retry || err != nil {
				t.Errorf("OnError = %v, %v, want true", retry, err)
			}
		})
	}
}

// A relayed dial error must never look as if the relaying handler had not run.
func TestLiveRelayedDial(t *testing.T) {
	for _, inner := range transports {
		relayed := call{kind: inner, address: refusedAddress(t), endpoint: "Say.Hello"}.do(context.Background(), t).err
		if relayed == nil {
			t.Fatal("a refused dial succeeded")
		}
		for _, outer := range transports {
			t.Run(inner+" over "+outer, func(t *testing.T) {
				c := call{kind: outer, address: serve(t, outer, &Say{err: relayed}), endpoint: "Say.Fail"}
				requireRan(t, c, c.do(context.Background(), t))
			})
		}
		t.Run(inner+" over grpc, request built for mucp", func(t *testing.T) {
			c := call{kind: "grpc", address: serve(t, "grpc", &Say{err: relayed}), endpoint: "Say.Fail"}
			builder, stop := call{kind: "mucp"}.client(Always)
			defer stop()
			c.request = builder
			requireRan(t, c, c.do(context.Background(), t))
		})
	}
}

func requireRan(t *testing.T, c call, got seen) {
	t.Helper()
	if !got.asked || got.careful {
		t.Errorf("asked %v, Careful = %v, want true, false (%v)", got.asked, got.careful, got.err)
	}
	for _, ev := range []Evidence{{Client: c.kind}, {}, {Client: c.kind, Answered: true}, {Answered: true, Unsent: true}} {
		if class := Classify(got.err, ev); class == NotSent || class == Refused || class == None {
			t.Errorf("Classify(%+v) = %v, but the handler ran", ev, class)
		}
	}
	if class := Classify(got.err, Evidence{Client: c.kind, Answered: true}); class != Internal {
		t.Errorf("answered: %v, want internal", class)
	}
}

func TestLiveTimeoutAndCancel(t *testing.T) {
	for _, kind := range transports {
		t.Run(kind+"/timeout", func(t *testing.T) {
			handler := &Say{}
			address := serve(t, kind, handler)
			got := call{kind: kind, address: address, endpoint: "Say.Hang", timeout: 100 * time.Millisecond}.do(context.Background(), t)
			<-handler.started
			if class := Classify(got.err, Evidence{Client: kind}); class != Timeout || got.careful {
				t.Errorf("Classify = %v, Careful = %v, want timeout, false (%v)", class, got.careful, got.err)
			}
		})
		t.Run(kind+"/caller gives up", func(t *testing.T) {
			handler := &Say{}
			address := serve(t, kind, handler)
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-handler.started; cancel() }()
			got := call{kind: kind, address: address, endpoint: "Say.Hang"}.do(ctx, t)
			if class := Classify(got.err, Evidence{Client: kind}); class != Canceled || got.careful {
				t.Errorf("Classify = %v, Careful = %v, want canceled, false (%v)", class, got.careful, got.err)
			}
			if retry, _ := OnError(context.Background(), nil, 0, got.err); retry {
				t.Error("OnError retried a call that its caller gave up")
			}
		})
		t.Run(kind+"/given up before", func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			got := call{kind: kind, address: serve(t, kind, &Say{}), endpoint: "Say.Hello"}.do(ctx, t)
			if class := Classify(got.err, Evidence{Client: kind, Unsent: true}); class != Canceled {
				t.Errorf("Classify = %v, want canceled (%v)", class, got.err)
			}
		})
	}
}

func TestLiveBroken(t *testing.T) {
	for _, kind := range transports {
		t.Run(kind+"/mid-call", func(t *testing.T) {
			handler := &Say{}
			wire := newWire(t, serve(t, kind, handler))
			go func() { <-handler.started; wire.cut() }()
			got := call{kind: kind, address: wire.address(), endpoint: "Say.Hang"}.do(context.Background(), t)
			if !got.asked || got.class != Broken || got.careful {
				t.Errorf("policy saw %v, Careful = %v, want broken, false (%v)", got.class, got.careful, got.err)
			}
		})
		t.Run(kind+"/closed at once", func(t *testing.T) {
			wire := newWire(t, "")
			got := call{kind: kind, address: wire.address(), endpoint: "Say.Hello"}.do(context.Background(), t)
			if !got.asked || got.class != Broken || got.careful {
				t.Errorf("policy saw %v, Careful = %v, want broken, false (%v)", got.class, got.careful, got.err)
			}
		})
	}
}

func TestLivePooledConnectionDies(t *testing.T) {
	for _, kind := range transports {
		t.Run(kind, func(t *testing.T) {
			wire := newWire(t, serve(t, kind, &Say{}))
			var class Class
			c := call{kind: kind, address: wire.address(), endpoint: "Say.Hello"}
			cl, stop := c.client(func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
				class = attemptOf(ctx, req, n, err).Class
				return false, nil
			})
			defer stop()
			if err := cl.Init(client.PoolTTL(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if err := c.send(context.Background(), cl); err != nil {
				t.Fatal(err)
			}
			wire.cut()
			if err := c.send(context.Background(), cl); err == nil || class != Broken {
				t.Errorf("policy saw %v, want broken (%v)", class, err)
			}
			_ = cl.Init(client.PoolTTL(-time.Second))
		})
	}
}

// wire is a TCP proxy that can be cut, as a connection to a killed process is.
type wire struct {
	listener net.Listener
	backend  string
	mu       sync.Mutex
	conns    []net.Conn
	done     bool
	wg       sync.WaitGroup
}

// newWire proxies to backend; without one it hangs up on whoever calls.
func newWire(t *testing.T, backend string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, backend: backend}
	w.wg.Go(w.accept)
	t.Cleanup(func() { w.cut(); w.wg.Wait() })
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.backend)
		if err != nil || !w.keep(near, far) {
			near.Close()
			continue
		}
		w.wg.Go(func() { pipe(near, far) })
		w.wg.Go(func() { pipe(far, near) })
	}
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conns...)
	return !w.done
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

// cut closes every connection, and the listener.
func (w *wire) cut() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	for _, c := range w.conns {
		c.Close()
	}
}
