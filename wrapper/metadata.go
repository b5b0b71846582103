package wrapper

import (
	"context"
	"strconv"
	"time"

	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// metadataOf returns the context of one attempt: with the call's key, without
// any other call's. number is the attempt's, counted from 1, and ration what it says
// of the time that it has.
func (s *call) metadataOf(ctx context.Context, number int, node *registry.Node, ration string) context.Context {
	id := s.client.requestID(node)
	s.mu.Lock()
	t, keyed, released := s.traits, s.carriesKey(), s.released
	s.mu.Unlock()
	if !keyed && id == "" && ration == "" {
		return withoutLeaks(ctx)
	}
	md, ok := metadata.FromContext(ctx) // a copy
	if !ok {
		md = make(metadata.Metadata)
	}
	clearOwn(md)
	if id != "" {
		md[headers.Stream] = id
	}
	if ration != "" {
		md[idempotency.HeaderAttemptTime] = ration
	}
	if keyed {
		putKey(md, t.key)
		md[idempotency.HeaderFor] = t.key.For
		md[idempotency.HeaderRetryCount] = strconv.Itoa(number - 1)
		if number > 1 || !t.minted {
			md[idempotency.HeaderSent] = idempotency.FormatIssued(time.Now())
		}
		if !released.IsZero() {
			md[idempotency.HeaderReleased] = idempotency.FormatIssued(released)
		}
	}
	return metadata.NewContext(ctx, md)
}

// withoutLeaks returns ctx without the key of the call that ctx came from.
func withoutLeaks(ctx context.Context) context.Context {
	md, ok := metadata.FromContext(ctx)
	if !ok {
		return ctx
	}
	return withoutOwn(ctx, md)
}

// withoutOwn is withoutLeaks where md is a copy of ctx's metadata already.
func withoutOwn(ctx context.Context, md metadata.Metadata) context.Context {
	before := len(md)
	clearOwn(md)
	if len(md) == before {
		return ctx
	}
	return metadata.NewContext(ctx, md)
}

// putKey adds a key and its age.
func putKey(md metadata.Metadata, key idempotency.Key) {
	md[idempotency.HeaderKey] = key.Value
	if issued := idempotency.FormatIssued(key.Issued); issued != "" {
		md[idempotency.HeaderIssued] = issued
	}
}
