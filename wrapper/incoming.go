package wrapper

import (
	"context"
	"time"

	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// incoming is what a request says of itself in its metadata.
type incoming struct {
	key     idempotency.Key // zero: none
	attempt int64
	// released is the attempt of whose release the sender knows; 0: none.
	released int64
	// first says that no attempt with this key came before: it was minted for the call
	// whose first attempt this is.
	first  bool
	ration ration
}

// take reads what the metadata of ctx says of the call, and returns the context
// without it: it must not leak into the handler's own calls.
func take(ctx context.Context) (context.Context, incoming, error) {
	md, ok := metadata.FromContext(ctx)
	if !ok {
		return ctx, incoming{}, nil
	}
	in, err := read(md)
	if text, ok := lookUp(md, idempotency.HeaderAttemptTime); ok {
		in.ration = parseRation(text)
	}
	return withoutOwn(ctx, md), in, err
}

func read(md metadata.Metadata) (in incoming, err error) {
	raw, ok := lookUp(md, idempotency.HeaderKey)
	if !ok {
		return incoming{}, nil
	}
	if in.key.Value, err = idempotency.ParseKey(raw); err != nil {
		return incoming{}, err
	}
	in.key.For, _ = lookUp(md, idempotency.HeaderFor)
	issued, _ := lookUp(md, idempotency.HeaderIssued)
	if in.key.Issued, err = idempotency.ParseIssued(issued); err != nil {
		return incoming{}, badRequestError{err}
	}
	sent, _ := lookUp(md, idempotency.HeaderSent)
	if in.attempt, err = idempotency.ParseSent(sent, in.key.Issued, time.Now()); err != nil {
		return incoming{}, badRequestError{err}
	}
	count, _ := lookUp(md, idempotency.HeaderRetryCount)
	in.first = !in.key.Issued.IsZero() && sent == "" && count == "0"
	released, _ := lookUp(md, idempotency.HeaderReleased)
	if in.released, err = idempotency.ParseReleased(released); err != nil {
		return incoming{}, badRequestError{err}
	}
	return in, nil
}

// badRequestError is an error that is the caller's fault.
type badRequestError struct{ error }

// StatusCode is 400.
func (badRequestError) StatusCode() int { return 400 }

// Unwrap returns what was wrong.
func (e badRequestError) Unwrap() error { return e.error }
