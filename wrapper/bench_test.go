package wrapper_test

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// BenchmarkCall is the client stack over go-micro's own loop and a wire that
// answers at once, beside the bare client.
func BenchmarkCall(b *testing.B) {
	wire := func(context.Context, *registry.Node, client.Request, any, client.CallOptions) error { return nil }
	inner := wireClient{stock(nodes("a", "b", "c")), wire}
	for _, tt := range []struct {
		name, endpoint string
		client         client.Client
	}{
		{"bare", read, inner},
		{"safe", read, wrap(b, inner, safety(b))},
		{"keyed", write, wrap(b, inner, safety(b))},
		{"hedged", read, wrap(b, inner, safety(b), wrapper.WithHedge(time.Second))},
		{"hedged-adaptive", read, wrap(b, inner, safety(b), wrapper.WithAdaptiveHedge(0.95, time.Second, time.Minute))},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			req := tt.client.NewRequest("bank", tt.endpoint, wrapperspb.String("ann"))
			rsp := new(wrapperspb.StringValue)
			for b.Loop() {
				if err := tt.client.Call(b.Context(), req, rsp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestHedgeAllocations: what a call costs more that could be hedged, and is answered
// in time. The client makes its calls beside the loop in both cases, as mucp does.
func TestHedgeAllocations(t *testing.T) {
	wire := func(context.Context, *registry.Node, client.Request, any, client.CallOptions) error { return nil }
	inner := wireClient{stock(nodes("a", "b", "c")), wire}
	allocations := func(c client.Client) float64 {
		req, rsp := c.NewRequest("bank", read, wrapperspb.String("ann")), new(wrapperspb.StringValue)
		return testing.AllocsPerRun(1000, func() {
			if err := c.Call(t.Context(), req, rsp); err != nil {
				t.Fatal(err)
			}
		})
	}
	off := allocations(wrap(t, inner, safety(t)))
	for name, hedge := range map[string]wrapper.ClientOption{
		"fixed": wrapper.WithHedge(time.Second), "adaptive": wrapper.WithAdaptiveHedge(0.95, time.Second, time.Minute),
	} {
		if on := allocations(wrap(t, inner, safety(t), hedge)); on > off+6 {
			t.Errorf("%s: %v allocations, %v without a hedge", name, on, off)
		} else {
			t.Logf("%s: %v allocations, %v without a hedge", name, on, off)
		}
	}
}
