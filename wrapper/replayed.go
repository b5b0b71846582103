package wrapper

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// sayReplayed marks the reply as one that was recorded earlier. Only grpc can
// say so, in a trailer; mucp replies carry no metadata. That a client does not
// learn of it is no reason to fail the call.
func sayReplayed(ctx context.Context) {
	if grpc.ServerTransportStreamFromContext(ctx) == nil {
		return
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs(idempotency.HeaderReplayed, "true")) // see above
}
