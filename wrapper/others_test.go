package wrapper_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// counting is a client that counts attempts where go-micro's own count retries,
// as the http plugin does: with 0 retries it does nothing, and says nothing.
type counting struct {
	client.Client
	services []*registry.Service
	wire     client.CallFunc
}

func (counting) String() string { return "http" }

func (c counting) options(opts []client.CallOption) (client.CallOptions, selector.Next) {
	o := client.CallOptions{RequestTimeout: time.Minute}
	for _, opt := range opts {
		opt(&o)
	}
	selecting := selector.SelectOptions{Strategy: inOrder}
	for _, opt := range o.SelectOptions {
		opt(&selecting)
	}
	return o, selecting.Strategy(c.services)
}

func (c counting) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o, next := c.options(opts)
	call := c.wire
	for i := len(o.CallWrappers); i > 0; i-- {
		call = o.CallWrappers[i-1](call)
	}
	var failed error
	for i := range o.Retries {
		if _, err := o.Backoff(ctx, req, i); err != nil {
			return err
		}
		node, err := next()
		if err != nil {
			return err
		}
		if failed = call(ctx, node, req, rsp, o); failed == nil {
			return nil
		}
		if retry, err := o.Retry(ctx, req, i, failed); err != nil || !retry {
			return errors.Join(failed, err)
		}
	}
	return failed
}

func (c counting) Stream(ctx context.Context, req client.Request, opts ...client.CallOption) (client.Stream, error) {
	o, next := c.options(opts)
	if o.Retries <= 0 {
		return nil, nil //nolint:nilnil // so says the plugin
	}
	node, err := next()
	if err != nil {
		return nil, err
	}
	return opened{node: node}, c.wire(ctx, node, req, nil, o)
}

// opened is a stream of which only the node matters.
type opened struct {
	client.Stream
	node *registry.Node
}

func TestClientThatCountsAttempts(t *testing.T) {
	wire := &recorder{answers: []error{errBroken, errBroken, errBroken, nil}}
	c := wrap(t, counting{Client: stock(nil), services: nodes("a"), wire: wire.wire}, wrapper.WithAttempts(4), safety(t))
	if _, report, err := call(t.Context(), c, read); err != nil || len(report.Attempts) != 4 {
		t.Errorf("error %v, attempts %v", err, report.Attempts)
	}

	var report wrapper.Report
	stream, err := c.Stream(wrapper.WithReport(t.Context(), &report), c.NewRequest("bank", write, nil))
	if err != nil || stream == nil || len(report.Attempts) != 1 {
		t.Errorf("stream %v, error %v, attempts %v", stream, err, report.Attempts)
	}
}

// TestEmptyAddress: what go-micro makes of it is an error, and no more.
func TestEmptyAddress(t *testing.T) {
	c := wrap(t, stock(nodes("a")))
	if _, _, err := call(t.Context(), c, read, client.WithAddress("")); err == nil {
		t.Error("no error from a call")
	}
	req := c.NewRequest("bank", read, nil, client.StreamingRequest())
	if _, err := c.Stream(t.Context(), req, client.WithAddress("")); err == nil {
		t.Error("no error from a stream")
	}
}

// TestProxyIsNotBypassed: MICRO_PROXY overrules the addresses of a call, and an
// attempt must not go back to them.
func TestProxyIsNotBypassed(t *testing.T) {
	t.Setenv("MICRO_PROXY", "127.0.0.1:7")
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	if _, _, err := call(t.Context(), c, write, client.WithAddress("x", "y")); err != nil || wire.addresses()[0] != "127.0.0.1:7" {
		t.Errorf("error %v, attempts went to %v", err, wire.addresses())
	}
}

// abandoning answers in the place of its client after a second, and lets it go
// on, as hystrix.Do does.
type abandoning struct{ client.Client }

func (c abandoning) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	done := make(chan error, 1)
	go func() { done <- c.Client.Call(ctx, req, rsp, opts...) }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return merrors.InternalServerError("breaker", "hystrix: timeout")
	}
}

// TestNothingIsDecidedAfterTheCall has a wrapper between ours and go-micro give
// each attempt up: what then becomes of it is nobody's any more.
func TestNothingIsDecidedAfterTheCall(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		budget, err := retryfunc.NewBudget(retryfunc.WithRatio(0))
		if err != nil {
			t.Fatal(err)
		}
		var decisions atomic.Int32
		hook := func(context.Context, retryfunc.Decision) { decisions.Add(1) }
		wire := &recorder{answers: []error{errBroken}}
		c := wrap(t, abandoning{wireClient{inner, delayed(2*time.Second, wire.wire)}},
			onDecision(hook), wrapper.WithBudget(budget), safety(t))
		_, report, err := call(t.Context(), c, read)
		if err == nil || len(report.Attempts) != wrapper.DefaultAttempts {
			t.Fatalf("error %v, attempts %v", err, report.Attempts)
		}
		decided, paid := decisions.Load(), budget.Of("bank").Balance()
		time.Sleep(time.Minute)
		if got := decisions.Load(); got != decided {
			t.Errorf("%d decisions, %d of them after the call", got, got-decided)
		}
		if got := budget.Of("bank").Balance(); got < paid {
			t.Errorf("%d retries were paid after the call", paid-got)
		}
		if got := len(wire.addresses()); got != len(report.Attempts) {
			t.Errorf("%d attempts were sent, %d of them by the call", got, len(report.Attempts))
		}
	})
}

// TestBackoffOfTheCall: it may wait itself, as retryfunc's does, so that it must
// not be asked where no retry follows, and its error must not hide the call's.
func TestBackoffOfTheCall(t *testing.T) {
	stop := errors.New("stop")
	for _, tt := range []struct {
		name    string
		backoff client.BackoffFunc
		want    time.Duration
		reason  retryfunc.Reason
	}{
		{"waits", func(context.Context, client.Request, int) (time.Duration, error) { return time.Second, nil }, 2 * time.Second, retryfunc.ReasonAttempts},
		{"waits itself", func(ctx context.Context, _ client.Request, n int) (time.Duration, error) {
			if n == 0 {
				return 0, nil
			}
			return 0, retryfunc.Wait(ctx, time.Second)
		}, time.Second, retryfunc.ReasonAttempts},
		{"has no time", func(ctx context.Context, _ client.Request, n int) (time.Duration, error) {
			return 0, retryfunc.Wait(ctx, time.Duration(n)*time.Hour)
		}, 0, retryfunc.ReasonDeadline},
		{"refuses", func(_ context.Context, _ client.Request, n int) (time.Duration, error) {
			if n == 0 {
				return 0, nil
			}
			return 0, stop
		}, 0, retryfunc.ReasonGranted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a"))
			synctest.Test(t, func(t *testing.T) {
				wire := &recorder{answers: []error{errBroken}}
				c := wrap(t, wireClient{inner, wire.wire}, wrapper.WithAttempts(2), safety(t))
				began := time.Now()
				_, report, err := call(t.Context(), c, read, client.WithBackoff(tt.backoff))
				if waited := time.Since(began); err == nil || waited != tt.want {
					t.Errorf("error %v after %v, want %v", err, waited, tt.want)
				}
				last := report.Attempts[min(len(report.Attempts), len(wire.addresses()))-1]
				if last.Reason != tt.reason {
					t.Errorf("reason %q, want %q: %v", last.Reason, tt.reason, report.Attempts)
				}
			})
		})
	}
}

// TestPolicyIsAskedOnlyAboutAttempts that were made and failed: nothing is counted
// or paid for one that did not.
func TestPolicyIsAskedOnlyAboutAttempts(t *testing.T) {
	budget, err := retryfunc.NewBudget(retryfunc.WithRatio(0))
	if err != nil {
		t.Fatal(err)
	}
	limited, err := budget.Limit(3, retryfunc.Careful)
	if err != nil {
		t.Fatal(err)
	}
	var decisions int
	observed, err := retryfunc.Observe(limited, func(context.Context, retryfunc.Decision) { decisions++ })
	if err != nil {
		t.Fatal(err)
	}
	before := budget.Balance()
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire, wrapper.WithPolicy(observed), safety(t))
	if _, _, err := call(t.Context(), c, read); err != nil {
		t.Fatal(err)
	}
	if decisions != 0 || budget.Balance() != before {
		t.Errorf("a call that succeeded counts %d decisions and paid for %d retries", decisions, before-budget.Balance())
	}
}

// TestReplyTurnedIntoAnError by a call wrapper around ours: whatever the error
// says, the handler has run.
func TestReplyTurnedIntoAnError(t *testing.T) {
	spoil := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			if err := next(ctx, n, req, rsp, opts); err != nil {
				return err
			}
			return errRefused
		}
	}
	wire := new(recorder)
	c := wrap(t, wireClient{stock(nodes("a", "b")), wire.wire})
	if _, report, err := call(t.Context(), c, write, client.WithCallWrapper(spoil)); err == nil || len(wire.addresses()) != 1 {
		t.Errorf("error %v, attempts %v", err, report.Attempts)
	}
}

// TestNoDeadline: a call wrapper may take it from the context, for traces that
// outlive the call.
func TestNoDeadline(t *testing.T) {
	forget := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			return next(context.WithoutCancel(ctx), n, req, rsp, opts)
		}
	}
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire, safety(t))
	for _, endpoint := range []string{read, write} {
		if _, _, err := call(t.Context(), c, endpoint, client.WithCallWrapper(forget)); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range wire.arrived {
		got, whole := a.opts.RequestTimeout, client.DefaultRequestTimeout
		if got > whole || got < whole/2 {
			t.Errorf("attempt %d has %v, want what is left of %v", i+1, got, whole)
		}
	}
}

// TestWithoutEnd: a caller may ask for more retries than there are numbers for.
func TestWithoutEnd(t *testing.T) {
	wire := &recorder{answers: []error{errRefused, nil}}
	c := newWire(t, nodes("a", "b"), wire.wire, safety(t))
	if _, _, err := call(t.Context(), c, read, client.WithRetries(math.MaxInt-1)); err != nil || len(wire.addresses()) != 2 {
		t.Errorf("error %v, attempts on %v", err, wire.addresses())
	}
}
