package wrapper

import (
	"context"
	"strings"
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
	md := metadataIn(ctx)
	own, found := readOwn(md)
	if !found {
		return ctx, incoming{}, nil
	}
	in, err := read(&own)
	in.ration = own.ration()
	return metadata.NewContext(ctx, withoutOwn(md, 0)), in, err
}

// ration is what the attempt may use up, which follows its identity where it has one.
func (own *ownValues) ration() ration {
	if own.present[ownAttemptTime] {
		return parseRation(own.values[ownAttemptTime])
	}
	_, behind, _ := strings.Cut(own.values[ownStream], behindID)
	return parseRation(behind)
}

func read(own *ownValues) (in incoming, err error) {
	if !own.present[ownKey] {
		return incoming{}, nil
	}
	if in.key.Value, err = idempotency.ParseKey(own.values[ownKey]); err != nil {
		return incoming{}, err
	}
	in.key.For = own.values[ownFor]
	if in.key.Issued, err = idempotency.ParseIssued(own.values[ownIssued]); err != nil {
		return incoming{}, badRequestError{err}
	}
	sent := own.values[ownSent]
	if in.attempt, err = idempotency.ParseSent(sent, in.key.Issued, time.Now()); err != nil {
		return incoming{}, badRequestError{err}
	}
	in.first = !in.key.Issued.IsZero() && sent == "" && own.values[ownRetryCount] == "0"
	if in.released, err = idempotency.ParseReleased(own.values[ownReleased]); err != nil {
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
