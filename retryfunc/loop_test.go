package retryfunc

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// These tests let go-micro's own retry loop run the policies.

// inOrder picks the nodes one after the other.
func inOrder(services []*registry.Service) selector.Next {
	next := 0
	return func() (*registry.Node, error) {
		node := services[0].Nodes[next%len(services[0].Nodes)]
		next++
		return node, nil
	}
}

func retrying(t *testing.T, c call, policy client.RetryFunc, opts ...client.Option) client.Client {
	t.Helper()
	cl, stop := c.client(policy)
	t.Cleanup(stop)
	opts = append(opts, client.Retries(5), client.Backoff(
		func(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }))
	if err := cl.Init(opts...); err != nil {
		t.Fatal(err)
	}
	return cl
}

func TestLoopCarefulMovesOnFromRefusedDial(t *testing.T) {
	c := call{kind: "mucp", endpoint: "Say.Hello", nodes: []*registry.Service{{Name: service, Version: "1", Nodes: []*registry.Node{
		{Id: "1", Address: refusedAddress(t)}, {Id: "2", Address: serve(t, "mucp", &Say{})},
	}}}}
	cl := retrying(t, c, Careful)
	if err := cl.Options().Selector.Init(selector.SetStrategy(inOrder)); err != nil {
		t.Fatal(err)
	}
	if err := c.send(context.Background(), cl); err != nil {
		t.Error(err)
	}
}

// A handler that relays its own refused dial ran: it must not run again.
func TestLoopCarefulRunsRelayingHandlerOnce(t *testing.T) {
	for _, inner := range transports {
		relayed := call{kind: inner, address: refusedAddress(t), endpoint: "Say.Hello"}.do(context.Background(), t).err
		for _, outer := range transports {
			t.Run(inner+" over "+outer, func(t *testing.T) {
				handler := &Say{err: relayed}
				c := call{kind: outer, address: serve(t, outer, handler), endpoint: "Say.Fail"}
				if err := c.send(context.Background(), retrying(t, c, Careful)); err == nil {
					t.Error("a failure became a success")
				}
				if got := handler.failed.Load(); got != 1 {
					t.Errorf("the handler ran %d times", got)
				}
			})
		}
	}
}

// A loop of one's own tells a policy nothing of the client that it drives, and
// client.NewRequest builds a mucp request whichever that is: no reason to take a
// peer's words for this side's.
func TestOwnLoopRunsRelayingHandlerOnce(t *testing.T) {
	for _, inner := range transports {
		relayed := call{kind: inner, address: refusedAddress(t), endpoint: "Say.Hello"}.do(context.Background(), t).err
		t.Run(inner+" over grpc", func(t *testing.T) {
			handler := &Say{err: relayed}
			c := call{kind: "grpc", address: serve(t, "grpc", handler), endpoint: "Say.Fail"}
			cl, stop := c.client(Always)
			defer stop()
			req := client.NewRequest(service, c.endpoint, &Ask{}, client.WithContentType("application/json"))
			for n, retry := 0, true; retry && n < 3; n++ {
				err := cl.Call(context.Background(), req, &Reply{}, client.WithAddress(c.address))
				if retry, err = Careful(context.Background(), req, n, err); err != nil {
					t.Fatal(err)
				}
			}
			if got := handler.failed.Load(); got != 1 {
				t.Errorf("the handler ran %d times", got)
			}
		})
	}
}

func TestLoopLimit(t *testing.T) {
	for _, kind := range transports {
		t.Run(kind, func(t *testing.T) {
			handler := &Say{err: merrors.InternalServerError("hello", "boom")}
			c := call{kind: kind, address: serve(t, kind, handler), endpoint: "Say.Fail"}
			budget := newBudget(t, still(5)...)
			cl := retrying(t, c, limited(t, budget, 3, OnError))
			for range 3 {
				if err := c.send(context.Background(), cl); err == nil {
					t.Error("a failure became a success")
				}
			}
			// Two retries each for the first two calls, one for the third.
			if got := handler.failed.Load(); got != 8 || budget.Balance() != 0 {
				t.Errorf("the handler ran %d times, %d retries left, want 8 and 0", got, budget.Balance())
			}
		})
	}
}

// go-micro's own backoff sends the attempt it slept for after the caller has
// gone. This one must not.
func TestLoopBackoffSendsNothingAfterCancel(t *testing.T) {
	backoff := newBackoff(t, WithBase(20*time.Second), WithCap(20*time.Second))
	backoff.random = func(n int64) int64 { return n - 1 }
	for _, kind := range transports {
		t.Run(kind, func(t *testing.T) {
			handler := &Say{err: merrors.InternalServerError("hello", "boom")}
			c := call{kind: kind, address: serve(t, kind, handler), endpoint: "Say.Fail"}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			ended := make(chan error, 1)
			cl := retrying(t, c, Always)
			err := cl.Init(client.Backoff(func(ctx context.Context, req client.Request, attempts int) (time.Duration, error) {
				if attempts == 0 {
					return 0, nil
				}
				cancel()
				d, err := backoff.Func()(ctx, req, attempts)
				ended <- err
				return d, err
			}))
			if err != nil {
				t.Fatal(err)
			}
			if class := Classify(c.send(ctx, cl), Evidence{Client: kind}); class != Canceled {
				t.Errorf("call ended as %v", class)
			}
			if err := <-ended; !errors.Is(err, context.Canceled) || handler.failed.Load() != 1 {
				t.Errorf("backoff ended with %v, the handler ran %d times", err, handler.failed.Load())
			}
		})
	}
}
