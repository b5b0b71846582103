package classify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// These tests show the classifier the errors of real clients whose servers are
// real processes, with the evidence that the client's own side had. None is
// made up.

const (
	serverError  = "client.serverError" // what came over the wire, on mucp
	microError   = "*errors.Error"
	long         = time.Minute
	short        = 300 * time.Millisecond
	hour         = "1h" // longer than any test
	noExecutions = 0
)

// scene is a caller of one service, on one transport.
type scene struct {
	transport string
	node      *fixture.Node
	client    client.Client
}

func newScene(t *testing.T, c fixture.Config) scene {
	t.Helper()
	node := fixture.Start(t, c)
	return scene{c.Transport, node, newClient(t, c.Transport, node.Address())}
}

func newClient(t *testing.T, transport string, nodes ...string) client.Client {
	t.Helper()
	return fixture.NewClient(t, transport, nodes, client.Retries(0))
}

// outcome is how a call ended.
type outcome struct {
	err      error
	evidence retryfunc.Evidence
}

// call makes one attempt that may take d.
func (s scene) call(t *testing.T, endpoint, value string, d time.Duration) outcome {
	t.Helper()
	return s.request(t.Context(), t, fixture.NewRequest(s.client, endpoint, value), d)
}

func (s scene) request(ctx context.Context, t *testing.T, req client.Request, d time.Duration) outcome {
	t.Helper()
	w := newWitness()
	err := s.client.Call(ctx, req, new(wrapperspb.StringValue), w.option(), func(o *client.CallOptions) {
		o.RequestTimeout, o.ConnectionTimeout = d, d
	})
	// Without a node nothing was asked of grpc.
	asked := err == nil || !strings.Contains(err.Error(), "not found") && !strings.Contains(err.Error(), "none available")
	return outcome{err, w.evidence(s.transport, asked, err)}
}

// during makes a call and does something while it runs on the node.
func (s scene) during(t *testing.T, d time.Duration, value string, do func()) outcome {
	t.Helper()
	done := make(chan outcome, 1)
	begun := s.node.Executions(fixture.Sleep)
	go func() { done <- s.call(t, fixture.Sleep, value, d) }()
	s.node.Await(fixture.Sleep, begun+1)
	do()
	return <-done
}

// warm makes a call that leaves a pooled connection behind.
func (s scene) warm(t *testing.T) {
	t.Helper()
	if o := s.call(t, fixture.Echo, "", long); o.err != nil {
		t.Fatalf("warm up: %v", o.err)
	}
}

func (o outcome) class() retryfunc.Class { return retryfunc.Classify(o.err, o.evidence) }

// want is what is expected of a call, on one transport.
type want struct {
	class    retryfunc.Class
	kind     string // the error's concrete type
	code     int32
	unsent   bool // as evidence: grpc only
	answered bool
}

func (o outcome) check(t *testing.T, w want) {
	t.Helper()
	if got := o.class(); got != w.class {
		t.Errorf("Classify = %v, want %v", got, w.class)
	}
	if o.err != nil {
		if got := fmt.Sprintf("%T", o.err); got != w.kind {
			t.Errorf("error is a %s, want a %s", got, w.kind)
		}
		if got := merrors.Parse(o.err.Error()).Code; got != w.code {
			t.Errorf("code %d, want %d", got, w.code)
		}
	}
	if o.evidence.Unsent != w.unsent || o.evidence.Answered != w.answered {
		t.Errorf("unsent %v, answered %v, want %v, %v", o.evidence.Unsent, o.evidence.Answered, w.unsent, w.answered)
	}
	if t.Failed() {
		t.Logf("%T %v", o.err, o.err)
	}
}

// onEach pairs each transport with what is expected of it.
func onEach(mucp, grpc want) map[string]want {
	return map[string]want{fixture.MUCP: mucp, fixture.GRPC: grpc}
}

func TestAnswers(t *testing.T) {
	scenes := make(map[string]scene)
	for _, transport := range fixture.Transports() {
		scenes[transport] = newScene(t, fixture.Config{Transport: transport})
	}
	ok := func(class retryfunc.Class, code int32) want {
		return want{class: class, kind: microError, code: code, answered: true}
	}
	for _, tc := range []struct {
		endpoint   string
		mucp, grpc want
		executions int
	}{
		{fixture.Echo, want{}, want{answered: true}, 1},
		{fixture.Fail, want{retryfunc.Application, serverError, 0, false, false}, ok(retryfunc.Internal, 500), 1},
		{fixture.BadRequest, want{retryfunc.Application, serverError, 400, false, false}, ok(retryfunc.Application, 400), 1},
		{fixture.InternalError, want{retryfunc.Internal, serverError, 500, false, false}, ok(retryfunc.Internal, 500), 1},
		{"Fixture.Nonesuch", want{retryfunc.Application, serverError, 0, false, false}, ok(retryfunc.Application, 501), noExecutions},
		{"Nonesuch.Echo", want{retryfunc.Application, serverError, 0, false, false}, ok(retryfunc.Application, 501), noExecutions},
		// A mucp server never answers a call that panicked.
		{fixture.Panic, want{retryfunc.Timeout, microError, 408, false, false}, ok(retryfunc.Internal, 500), 1},
	} {
		t.Run(tc.endpoint, func(t *testing.T) {
			for transport, w := range onEach(tc.mucp, tc.grpc) {
				t.Run(transport, func(t *testing.T) {
					s, d := scenes[transport], long
					if w.class == retryfunc.Timeout {
						d = short
					}
					// The handler's text is what a refused dial's would be: it
					// must not matter.
					s.call(t, tc.endpoint, "connection error: dial tcp 127.0.0.1:1: connect: connection refused", d).check(t, w)
					if got := s.node.Executions(tc.endpoint); got != tc.executions {
						t.Errorf("%d executions, want %d", got, tc.executions)
					}
				})
			}
		})
	}
}

func TestRefusedDial(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.NotSent, kind: microError, code: 500},
		want{class: retryfunc.NotSent, kind: microError, code: 503, unsent: true},
	) {
		t.Run(transport, func(t *testing.T) {
			s := scene{transport: transport, client: newClient(t, transport, fixture.RefusedAddress(t))}
			s.call(t, fixture.Echo, "", long).check(t, w)
		})
	}
}

func TestKilledMidCall(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Broken, kind: microError, code: 500},
		want{class: retryfunc.Broken, kind: microError, code: 503},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.during(t, long, hour, s.node.Kill).check(t, w)
		})
	}
}

// grpc notices by itself that a pooled connection broke, mucp by writing to
// it: the request may have been read before the process died.
func TestKilledWhilePooled(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Broken, kind: microError, code: 500},
		want{class: retryfunc.NotSent, kind: microError, code: 503, unsent: true},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.warm(t)
			s.node.Kill()
			first := s.call(t, fixture.Echo, "", long)
			if transport == fixture.GRPC && first.class() == retryfunc.Broken {
				t.Logf("grpc was asked before it had noticed: %v", first.err)
				first = s.call(t, fixture.Echo, "", long)
			}
			first.check(t, w)
			if got := s.call(t, fixture.Echo, "", long); got.class() != retryfunc.NotSent {
				t.Errorf("the next call is %v, want not sent (%v)", got.class(), got.err)
			}
			if got := s.node.Executions(fixture.Echo); got != 1 {
				t.Errorf("%d executions, want the first call's", got)
			}
		})
	}
}

func TestKilledWhilePooledAndRestarted(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Broken, kind: microError, code: 500},
		want{class: retryfunc.None, answered: true},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.warm(t)
			s.node.Kill()
			s.node.Restart()
			s.call(t, fixture.Echo, "", long).check(t, w)
			if got := s.call(t, fixture.Echo, "", long); got.err != nil {
				t.Errorf("the next call failed: %v", got.err)
			}
		})
	}
}

func TestFrozenWithAPooledConnection(t *testing.T) {
	timeout := want{class: retryfunc.Timeout, kind: microError, code: 408}
	for transport, w := range onEach(timeout, timeout) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.warm(t)
			s.node.Freeze()
			s.call(t, fixture.Sleep, "0s", short).check(t, w)
		})
	}
}

func TestFrozenMidCall(t *testing.T) {
	timeout := want{class: retryfunc.Timeout, kind: microError, code: 408}
	for transport, w := range onEach(timeout, timeout) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.during(t, time.Second, hour, s.node.Freeze).check(t, w)
		})
	}
}

// The kernel completes a connection to a frozen process. On mucp the request
// is in its socket by then, and may run when it thaws. grpc sends nothing
// before it has read the server's settings.
func TestFrozenWithoutAConnection(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Timeout, kind: microError, code: 408},
		want{class: retryfunc.NotSent, kind: microError, code: 408, unsent: true},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.node.Freeze()
			s.call(t, fixture.Sleep, "0s", short).check(t, w)
			s.node.Thaw()
			s.warm(t)
			if got := s.node.Executions(fixture.Sleep); got != noExecutions && w.class == retryfunc.NotSent {
				t.Errorf("%d executions after the thaw, but it was not sent", got)
			}
		})
	}
}

func TestStoppedMidCall(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Broken, kind: microError, code: 500},
		want{class: retryfunc.Broken, kind: microError, code: 503},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.during(t, long, hour, s.node.Stop).check(t, w)
		})
	}
}

func TestStoppedWhileDraining(t *testing.T) {
	for transport, w := range onEach(want{}, want{answered: true}) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport, Drain: true})
			s.during(t, long, "1500ms", s.node.Stop).check(t, w)
		})
	}
}

func TestStoppedWhilePooled(t *testing.T) {
	for transport, w := range onEach(
		want{class: retryfunc.Broken, kind: microError, code: 500},
		want{class: retryfunc.NotSent, kind: microError, code: 503, unsent: true},
	) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			s.warm(t)
			s.node.Stop()
			first := s.call(t, fixture.Echo, "", long)
			if transport == fixture.GRPC && first.class() == retryfunc.Broken {
				t.Logf("grpc was asked before it had noticed: %v", first.err)
				first = s.call(t, fixture.Echo, "", long)
			}
			first.check(t, w)
		})
	}
}

func TestUnknownService(t *testing.T) {
	noNode := want{class: retryfunc.NoNode, kind: microError, code: 500}
	for transport, w := range onEach(noNode, noNode) {
		t.Run(transport, func(t *testing.T) {
			s := scene{transport: transport, client: newClient(t, transport)}
			o := s.request(t.Context(), t, s.client.NewRequest("nonesuch", fixture.Echo, wrapperspb.String("")), long)
			o.evidence.Service = "nonesuch"
			o.check(t, w)
		})
	}
}

func TestNoNode(t *testing.T) {
	noNode := want{class: retryfunc.NoNode, kind: microError, code: 500}
	for transport, w := range onEach(noNode, noNode) {
		t.Run(transport, func(t *testing.T) {
			s := scene{transport: transport, client: newClient(t, transport)} // a service without nodes
			s.call(t, fixture.Echo, "", long).check(t, w)
		})
	}
}

func TestCanceled(t *testing.T) {
	canceled := want{class: retryfunc.Canceled, kind: microError, code: 408}
	for transport, w := range onEach(canceled, canceled) {
		t.Run(transport, func(t *testing.T) {
			s := newScene(t, fixture.Config{Transport: transport})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan outcome, 1)
			go func() { done <- s.request(ctx, t, fixture.NewRequest(s.client, fixture.Sleep, hour), long) }()
			s.node.Await(fixture.Sleep, 1)
			cancel()
			(<-done).check(t, w)
		})
	}
}

// TestRelayedRefusal: A calls B, B calls C, C's dial is refused and B answers
// with that error as it is. B's handler ran, whatever the text says.
func TestRelayedRefusal(t *testing.T) {
	for _, inner := range fixture.Transports() {
		t.Run(inner, func(t *testing.T) {
			code := map[string]int32{fixture.MUCP: 500, fixture.GRPC: 503}[inner]
			for transport, w := range onEach(
				want{class: retryfunc.Internal, kind: serverError, code: code},
				want{class: retryfunc.Internal, kind: microError, code: code, answered: true},
			) {
				t.Run(transport, func(t *testing.T) {
					s := newScene(t, fixture.Config{
						Transport: transport, Relay: fixture.RefusedAddress(t), RelayTransport: inner,
					})
					o := s.call(t, fixture.Relay, "", long)
					o.check(t, w)
					if o.err == nil || !strings.Contains(o.err.Error(), "connection refused") {
						t.Errorf("%v is not a refused dial's error", o.err)
					}
					if got := s.node.Executions(fixture.Relay); got != 1 {
						t.Errorf("%d executions, want 1", got)
					}
					o.checkCareful(t)
				})
			}
		})
	}
}

// checkCareful holds that a call which is not idempotent is not sent again,
// with the evidence and without any.
func (o outcome) checkCareful(t *testing.T) {
	t.Helper()
	for _, ev := range []retryfunc.Evidence{o.evidence, {Client: o.evidence.Client}, {}} {
		class := retryfunc.Classify(o.err, ev)
		if class == retryfunc.NotSent || class == retryfunc.Refused {
			t.Errorf("Classify(%+v) = %v, but the handler ran", ev, class)
		}
		ctx := retryfunc.WithAttempt(t.Context(), &retryfunc.Attempt{Class: class, Number: 1})
		if retry, err := retryfunc.Careful(ctx, nil, 0, o.err); retry || err != nil {
			t.Errorf("Careful = %v, %v, want false", retry, err)
		}
	}
}

// Without evidence a refused dial over grpc is no reason to send again.
func TestNoEvidence(t *testing.T) {
	s := scene{transport: fixture.GRPC, client: newClient(t, fixture.GRPC, fixture.RefusedAddress(t))}
	o := s.call(t, fixture.Echo, "", long)
	if got := retryfunc.Classify(o.err, retryfunc.Evidence{Client: fixture.GRPC}); got != retryfunc.Broken {
		t.Errorf("Classify = %v, want broken (%v)", got, o.err)
	}
	if errors.Is(o.err, context.Canceled) {
		t.Error("a refused dial is not the caller's doing")
	}
}
