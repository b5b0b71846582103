package wrapper_test

import (
	"context"
	"testing"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"
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
