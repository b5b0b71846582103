package wrapper_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// leaver is a wrapper inside of ours that leaves the first of its calls in a way of
// its own: when go-micro has answered, or as soon as there is a second one.
type leaver struct {
	client.Client
	leave  func()
	early  bool
	calls  atomic.Int32
	second chan struct{}
}

func (l *leaver) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	if l.calls.Add(1) > 1 {
		close(l.second)
		return l.Client.Call(ctx, req, rsp, opts...)
	}
	var err error
	if l.early {
		go func() { _ = l.Client.Call(ctx, req, new(wrapperspb.StringValue), opts...) }()
		<-l.second
	} else {
		err = l.Client.Call(ctx, req, rsp, opts...)
	}
	l.leave()
	return err
}

// TestAttemptThatDoesNotComeBack: a wrapper inside of ours panics, or ends its
// goroutine, after the loop has gone on without the attempt. That is the goroutine of
// the caller, and whatever the caller has deferred runs there; nothing is left behind.
func TestAttemptThatDoesNotComeBack(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, leave := range map[string]func(){
			"panic": func() { panic("inside") }, "goexit": runtime.Goexit,
		} {
			for _, early := range []bool{false, true} {
				t.Run(map[bool]string{false: name, true: name + " at once"}[early], func(t *testing.T) {
					t.Parallel()
					first, second := fixture.Start(t, fixture.Config{Transport: transport}), fixture.Start(t, fixture.Config{Transport: transport})
					l := &leaver{
						Client: fixture.NewClient(t, transport, []string{first.Address(), second.Address()}, client.Retries(0)),
						leave:  leave, early: early, second: make(chan struct{}),
					}
					c := wrap(t, l, sleepIsSafe(t))
					left := make(chan any, 1)
					var ends atomic.Int32
					go func() {
						defer func() { left <- recover() }()
						ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
						defer cancel()
						defer ends.Add(1)
						_, err := fixture.Call(ctx, c, fixture.Sleep, "1500ms")
						t.Errorf("the call returned %v", err)
					}()
					want := map[string]any{"panic": "inside"}[name]
					if got := <-left; got != want || ends.Load() != 1 {
						t.Errorf("recovered %v, want %v; %d deferred functions ran", got, want, ends.Load())
					}
				})
			}
		}
	})
}

// TestCallerMakesItsCallItself: what runs inside of an attempt that nothing runs
// beside runs in the goroutine of the caller, where the bare client would run it.
func TestCallerMakesItsCallItself(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		n := fixture.Start(t, fixture.Config{Transport: transport})
		inner := &whichGoroutine{Client: fixture.NewClient(t, transport, []string{n.Address()}, client.Retries(0))}
		c := wrap(t, inner, wrapper.WithAttempts(3))
		if _, err := fixture.Call(t.Context(), c, fixture.Echo, ""); err != nil {
			t.Fatal(err)
		}
		if want := goroutine(); inner.ran != want {
			t.Errorf("called in %q, want %q: as the bare client", inner.ran, want)
		}
	})
}

type whichGoroutine struct {
	client.Client
	ran string
}

func (w *whichGoroutine) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	w.ran = goroutine()
	return w.Client.Call(ctx, req, rsp, opts...)
}

// goroutine is the number of the one that calls.
func goroutine() string {
	stack := make([]byte, 64)
	stack = stack[:runtime.Stack(stack, false)]
	for i, c := range stack {
		if c == '[' {
			return string(stack[:i])
		}
	}
	return string(stack)
}
