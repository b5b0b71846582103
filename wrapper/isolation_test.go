package wrapper_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// slow answers after d, whatever the context says, as mucp does.
func slow(d time.Duration, answered *atomic.Int32) client.CallFunc {
	return func(_ context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
		time.Sleep(d)
		reply(rsp, "late reply of "+node.Address)
		answered.Add(1)
		return nil
	}
}

func TestLateReplyTouchesNothing(t *testing.T) {
	inner := stock(nodes("a"))
	synctest.Test(t, func(t *testing.T) {
		var answered atomic.Int32
		c := wrap(t, wireClient{inner, slow(time.Minute, &answered)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rsp := wrapperspb.String("untouched")
		err := c.Call(ctx, c.NewRequest("bank", write, rsp), rsp)
		if e, ok := merrors.As(err); !ok || e.Code != 408 {
			t.Fatalf("error %v", err)
		}
		time.Sleep(2 * time.Minute)
		if answered.Load() != 1 || rsp.GetValue() != "untouched" {
			t.Errorf("%d late replies, response %q", answered.Load(), rsp.GetValue())
		}
	})
}

func TestAbandonedAttemptTouchesNothing(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		var answered atomic.Int32
		frozen := slow(time.Minute, &answered)
		wire := func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			if node.Address == "a" {
				return frozen(ctx, node, req, rsp, opts)
			}
			reply(rsp, node.Address)
			return nil
		}
		c := wrap(t, wireClient{inner, wire}, wrapper.WithAttemptTimeout(time.Second), safety(t))
		began := time.Now()
		rsp := new(wrapperspb.StringValue)
		if err := c.Call(t.Context(), c.NewRequest("bank", read, rsp), rsp); err != nil || rsp.GetValue() != "b" {
			t.Fatalf("answer %q, error %v", rsp.GetValue(), err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("the frozen node cost %v, want one attempt timeout", took)
		}
		time.Sleep(2 * time.Minute)
		if answered.Load() != 1 || rsp.GetValue() != "b" {
			t.Errorf("%d late replies, response %q", answered.Load(), rsp.GetValue())
		}
	})
}

func TestNothingIsSentForACallerWhoHasGone(t *testing.T) {
	inner := stock(nodes("a"))
	synctest.Test(t, func(t *testing.T) {
		backoff, err := retryfunc.NewBackoff(retryfunc.WithBase(time.Hour), retryfunc.WithCap(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		wire := &recorder{answers: []error{errBroken}}
		c := wrap(t, wireClient{inner, wire.wire}, wrapper.WithBackoff(backoff), wrapper.WithAttempts(5), safety(t))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		time.AfterFunc(time.Millisecond, cancel)
		_, report, err := call(ctx, c, read)
		if err == nil {
			t.Fatal("no error")
		}
		time.Sleep(24 * time.Hour)
		if got := len(wire.addresses()); got != 1 || len(report.Attempts) != 1 {
			t.Errorf("%d attempts were sent, story %v", got, report.Attempts)
		}
	})
}

// TestGhostAttempt starts an attempt after its call has returned, as go-micro
// does when the caller's context ends between two attempts.
func TestGhostAttempt(t *testing.T) {
	var ghost func() error
	wire := new(recorder)
	keep := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			ghost = func() error { return next(ctx, node, req, rsp, opts) }
			return next(ctx, node, req, rsp, opts)
		}
	}
	c := newWire(t, nodes("a"), wire.wire)
	if _, _, err := call(t.Context(), c, write, client.WithCallWrapper(keep)); err != nil {
		t.Fatal(err)
	}
	err := ghost()
	if e, ok := merrors.As(err); !ok || e.Code != 408 || len(wire.addresses()) != 1 {
		t.Errorf("the ghost answered %v, attempts went to %v", err, wire.addresses())
	}
}

func TestResponsesThatCannotBeIsolated(t *testing.T) {
	wire := func(_ context.Context, _ *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
		if m, ok := rsp.(map[string]string); ok {
			m["answer"] = "yes"
		}
		return nil
	}
	c := newWire(t, nodes("a"), wire)
	req := c.NewRequest("bank", write, nil)
	if err := c.Call(t.Context(), req, nil); err != nil {
		t.Error(err)
	}
	answer := map[string]string{}
	if err := c.Call(t.Context(), req, answer); err != nil || answer["answer"] != "yes" {
		t.Errorf("answer %v, error %v", answer, err)
	}
}

// TestSharedOptionSlices has many calls share option slices with room to grow:
// whoever appends in place runs another call's wrapper.
func TestSharedOptionSlices(t *testing.T) {
	type id struct{}
	check := func(want *atomic.Int32) client.CallWrapper {
		return func(next client.CallFunc) client.CallFunc {
			return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
				want.Add(1)
				return next(ctx, node, req, rsp, opts)
			}
		}
	}
	var counts [3]atomic.Int32
	inner := client.NewClient(
		client.Selector(fixedSelector{services: nodes("a", "b")}),
		client.WrapCall(check(&counts[0])), client.WrapCall(check(&counts[1])), client.WrapCall(check(&counts[2])),
	)
	c := wrap(t, wireClient{inner, func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		reply(rsp, fmt.Sprint(ctx.Value(id{})))
		return nil
	}})
	shared := make([]client.CallOption, 1, 16)
	shared[0] = client.WithSelectOption(selector.WithStrategy(selector.Random))
	const callers, each = 8, 200
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			mine := string(rune('A' + i))
			for range each {
				answer, report, err := call(context.WithValue(t.Context(), id{}, mine), c, write, shared...)
				if err != nil || answer != mine || len(report.Attempts) != 1 {
					t.Errorf("caller %s got %q, %v, %v", mine, answer, report.Attempts, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range counts {
		if got := counts[i].Load(); got != callers*each {
			t.Errorf("call wrapper %d ran %d times for %d calls", i, got, callers*each)
		}
	}
	if cap(shared) != 16 || shared[:2][1] != nil {
		t.Error("the caller's slice was appended to")
	}
}

func TestCanceledIsNotATimeout(t *testing.T) {
	inner := stock(nodes("a"))
	synctest.Test(t, func(t *testing.T) {
		var answered atomic.Int32
		c := wrap(t, wireClient{inner, slow(time.Minute, &answered)}, safety(t))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, report, err := call(ctx, c, read)
		if err == nil || report.Class() != retryfunc.Canceled {
			t.Errorf("error %v, story %v", err, report.Attempts)
		}
		time.Sleep(2 * time.Minute)
	})
}
