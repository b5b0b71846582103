package program

import (
	"context"
	"slices"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
)

// traced is a wrapper as programs have them: it names its calls in their
// metadata, sees every attempt, and has a view on how long a call may take.
type traced struct{ client.Client }

func tracing(c client.Client) client.Client { return &traced{c} }

// Call makes the call.
func (t *traced) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	const longest = 20 * time.Second
	ctx = metadata.Set(ctx, "Trace", req.Service()+"/"+req.Endpoint())
	opts = append(slices.Clip(opts), client.WithRequestTimeout(longest), seeAttempts)
	return t.Client.Call(ctx, req, rsp, opts...)
}

// seeAttempts adds a call wrapper. go-micro's own option appends to a slice that
// concurrent calls share.
func seeAttempts(o *client.CallOptions) {
	o.CallWrappers = append(slices.Clip(o.CallWrappers), func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			return next(ctx, n, req, rsp, opts)
		}
	})
}
