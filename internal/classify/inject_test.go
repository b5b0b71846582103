package classify_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// The witness's options reach grpc beside those that the caller set with the
// plugin's own CallOptions, per client or per call, and take nothing from them.
func TestInject(t *testing.T) {
	node := fixture.Start(t, fixture.Config{Transport: fixture.GRPC})
	perClient, perCall := new(metadata.MD), new(metadata.MD)
	for name, tc := range map[string]struct {
		theirs  *metadata.MD
		client  []client.Option
		options []client.CallOption
	}{
		"nothing set":    {nil, nil, nil},
		"set per client": {perClient, []client.Option{perClientOption(grpcclient.CallOptions(grpc.Header(perClient)))}, nil},
		"set per call":   {perCall, nil, []client.CallOption{grpcclient.CallOptions(grpc.Header(perCall))}},
	} {
		t.Run(name, func(t *testing.T) {
			c := fixture.NewClient(t, fixture.GRPC, []string{node.Address()}, append(tc.client, client.Retries(0))...)
			w := newWitness()
			if _, err := fixture.Call(t.Context(), c, fixture.Echo, "", slices.Concat(tc.options, []client.CallOption{inject(w.options()...)})...); err != nil {
				t.Fatal(err)
			}
			ev := w.evidence(fixture.GRPC, true, nil)
			if !ev.Answered || ev.Unsent || w.peer.Addr.String() != node.Address() {
				t.Errorf("witness saw %+v of %v, want an answer of %s", ev, w.peer.Addr, node.Address())
			}
			if tc.theirs != nil && len(*tc.theirs) == 0 {
				t.Error("the caller's own option was lost")
			}
		})
	}
}

func perClientOption(opt client.CallOption) client.Option {
	return func(o *client.Options) { opt(&o.CallOptions) }
}

// A CallWrapper can inject as well: the plugin reads the options it is given.
func TestInjectInCallWrapper(t *testing.T) {
	w := newWitness()
	wrapper := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			inject(w.options()...)(&opts)
			return next(ctx, node, req, rsp, opts)
		}
	}
	c := fixture.NewClient(t, fixture.GRPC, []string{fixture.RefusedAddress(t)}, client.Retries(0), client.WrapCall(wrapper))
	_, err := fixture.Call(t.Context(), c, fixture.Echo, "")
	if ev := w.evidence(fixture.GRPC, true, err); !ev.Unsent || ev.Answered || retryfunc.Classify(err, ev) != retryfunc.NotSent {
		t.Errorf("witness saw %+v of %v, want that nothing was sent", ev, err)
	}
}

// Options of other plugins, and the plugin's dial options, are as they were.
func TestInjectedContextPassesOtherValues(t *testing.T) {
	type otherKey struct{}
	ctx := injected{Context: context.WithValue(t.Context(), otherKey{}, "other"), options: []grpc.CallOption{grpc.WaitForReady(true)}}
	if got := ctx.Value(otherKey{}); got != "other" {
		t.Errorf("Value = %v, want other", got)
	}
	type grpcCallOptions struct{} // of another package
	for _, key := range []any{"grpcCallOptions", grpcCallOptions{}, nil, reflect.TypeFor[int]()} {
		if got := ctx.Value(key); got != nil {
			t.Errorf("Value(%#v) = %v, want nil", key, got)
		}
	}
}

// Credentials are asked for before a request reaches the handler.
func TestCredentialsAreAskedForFirst(t *testing.T) {
	node := fixture.Start(t, fixture.Config{Transport: fixture.GRPC})
	w := newWitness()
	impatient := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			done := make(chan error, 1)
			go func() { done <- next(ctx, n, req, rsp, opts) }()
			node.Await(fixture.Sleep, 1)
			if got := w.state.Load(); got != stateSent {
				t.Errorf("state %d of a call that runs, want %d", got, stateSent)
			}
			if w.answered.Load() {
				t.Error("a call that runs was answered")
			}
			return <-done
		}
	}
	c := fixture.NewClient(t, fixture.GRPC, []string{node.Address()}, client.Retries(0), client.WrapCall(impatient))
	err := c.Call(t.Context(), fixture.NewRequest(c, fixture.Sleep, "200ms"), new(wrapperspb.StringValue),
		client.WithRequestTimeout(time.Minute), inject(w.options()...))
	if err != nil {
		t.Fatal(err)
	}
	if ev := w.evidence(fixture.GRPC, true, nil); !ev.Answered || ev.Unsent {
		t.Errorf("evidence of the answer: %+v", ev)
	}
}
