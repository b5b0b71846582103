package wrapper

import (
	"context"
	"fmt"
	"strconv"

	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// incoming is what a request says of itself in its metadata.
type incoming struct {
	key     idempotency.Key // zero: none
	attempt int32
}

// take reads what the metadata of ctx says of the call, and returns the context
// without it: it must not leak into the handler's own calls.
func take(ctx context.Context) (context.Context, incoming, error) {
	md, ok := metadata.FromContext(ctx)
	if !ok {
		return ctx, incoming{}, nil
	}
	in, err := read(md)
	return withoutLeaks(ctx), in, err
}

func read(md metadata.Metadata) (in incoming, err error) {
	raw, ok := md[idempotency.HeaderKey]
	if !ok {
		return incoming{}, nil
	}
	if in.key.Value, err = idempotency.ParseKey(raw); err != nil {
		return incoming{}, err
	}
	in.key.For = md[idempotency.HeaderFor]
	if in.key.Issued, err = idempotency.ParseIssued(md[idempotency.HeaderIssued]); err != nil {
		return incoming{}, badRequestError{err}
	}
	in.attempt, err = parseRetryCount(md[idempotency.HeaderRetryCount])
	return in, err
}

func parseRetryCount(s string) (int32, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, badRequestError{fmt.Errorf("wrapper: %s %q: must be a number from 0", idempotency.HeaderRetryCount, s)}
	}
	return int32(n), nil
}

// badRequestError is an error that is the caller's fault.
type badRequestError struct{ error }

// StatusCode is 400.
func (badRequestError) StatusCode() int { return 400 }

// Unwrap returns what was wrong.
func (e badRequestError) Unwrap() error { return e.error }
