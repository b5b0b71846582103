package wrapper

import (
	"context"
	"log/slog"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// warnUnordered warns, once for each endpoint, of calls under one key that ran at the
// same time: by their number a second run may mistake one for another.
func (c *retryClient) warnUnordered(ctx context.Context, key idempotency.Key) {
	if !key.Unordered || !c.warned.first(key.For) {
		return
	}
	slog.WarnContext(ctx, "oncemore: calls to one endpoint, under one key, run at the same time: when they are repeated, "+
		"their order may be another, and then they are answered 422; tell them apart with idempotency.WithStep",
		"endpoint", key.For)
}
