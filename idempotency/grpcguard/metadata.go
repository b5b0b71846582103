package grpcguard

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// clearOwn removes the metadata that belongs to one call, which a handler that
// sends its metadata on would pass on with it.
func clearOwn(md metadata.MD) {
	for name := range md {
		for _, own := range [...]string{
			idempotency.HeaderKey, idempotency.HeaderFor, idempotency.HeaderIssued,
			idempotency.HeaderRetryCount, idempotency.HeaderSent, idempotency.HeaderReleased, idempotency.HeaderAttemptTime,
		} {
			if len(name) == len(own) && strings.EqualFold(name, own) {
				delete(md, name)
			}
		}
	}
}

// incoming is what a call says of itself.
type incoming struct {
	key      idempotency.Key // zero: none
	attempt  int64
	released int64
}

// take reads what the metadata of ctx says of the call, and returns the context
// without it. The error is an [*idempotency.KeyError].
func take(ctx context.Context) (context.Context, incoming, error) {
	md, ok := metadata.FromIncomingContext(ctx) // a copy, in lower case
	if !ok {
		return ctx, incoming{}, nil
	}
	in, err := read(md)
	before := len(md)
	if clearOwn(md); len(md) < before {
		ctx = metadata.NewIncomingContext(ctx, md)
	}
	return ctx, in, err
}

func read(md metadata.MD) (in incoming, err error) {
	values := md.Get(idempotency.HeaderKey)
	switch len(values) {
	case 0:
		return incoming{}, nil
	case 1:
	default:
		return incoming{}, &idempotency.KeyError{Reason: idempotency.HeaderKey + " is repeated"}
	}
	if in.key.Value, err = idempotency.ParseKey(values[0]); err != nil {
		return incoming{}, err
	}
	in.key.For = first(md, idempotency.HeaderFor)
	if in.key.Issued, err = idempotency.ParseIssued(first(md, idempotency.HeaderIssued)); err != nil {
		return incoming{}, &idempotency.KeyError{Reason: "its " + idempotency.HeaderIssued + " is not an RFC 3339 time"}
	}
	in.attempt, err = idempotency.ParseSent(first(md, idempotency.HeaderSent), in.key.Issued, time.Now())
	if err != nil {
		return incoming{}, &idempotency.KeyError{Reason: "its " + idempotency.HeaderSent + " is not an RFC 3339 time"}
	}
	if in.released, err = idempotency.ParseReleased(first(md, idempotency.HeaderReleased)); err != nil {
		return incoming{}, &idempotency.KeyError{Reason: "its " + idempotency.HeaderReleased + " is not an RFC 3339 time"}
	}
	return in, nil
}

func first(md metadata.MD, name string) string {
	if values := md.Get(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// withKey returns the context of an attempt: with the call's key, without any other
// call's. A key that was minted for the call was issued when its first attempt is
// sent.
func withKey(ctx context.Context, key idempotency.Key, minted bool) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx) // a copy
	if !ok {
		md = make(metadata.MD, 4)
	}
	clearOwn(md)
	md.Set(idempotency.HeaderKey, key.Value)
	md.Set(idempotency.HeaderFor, key.For)
	md.Set(idempotency.HeaderRetryCount, strconv.Itoa(0))
	if issued := idempotency.FormatIssued(key.Issued); issued != "" {
		md.Set(idempotency.HeaderIssued, issued)
	}
	if !minted {
		md.Set(idempotency.HeaderSent, idempotency.FormatIssued(time.Now()))
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// withoutKey returns ctx without the key of another call.
func withoutKey(ctx context.Context) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return ctx
	}
	before := len(md)
	if clearOwn(md); len(md) == before {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, md)
}
