package main

import (
	"context"
	"slices"
	"sync/atomic"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// replayKey finds, in the context of a call, where it learns that its answer
// had been given before.
type replayKey struct{}

// watchReplay returns a context for one call, and whether its answer was a
// replay, to be asked once the call has returned.
//
// Only grpc can say so, in a trailer. A reply of go-micro's own transport
// carries no metadata: over mucp the answer is always no.
func watchReplay(ctx context.Context) (context.Context, func() bool) {
	replayed := new(atomic.Bool)
	return context.WithValue(ctx, replayKey{}, replayed), replayed.Load
}

// seeReplays makes calls through grpc look at the trailer. Each attempt has one
// of its own: one that the call has given up may end while the next is running.
func seeReplays(o *client.Options) {
	grpcclient.DialOptions(grpc.WithChainUnaryInterceptor(readTrailer))(&o.CallOptions)
}

func readTrailer(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	replayed, watched := ctx.Value(replayKey{}).(*atomic.Bool)
	if !watched {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	var trailer metadata.MD
	err := invoke(ctx, method, req, reply, cc, append(slices.Clip(opts), grpc.Trailer(&trailer))...)
	if len(trailer.Get(idempotency.HeaderReplayed)) > 0 {
		replayed.Store(true)
	}
	return err
}
