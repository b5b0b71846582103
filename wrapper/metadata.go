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
// any other call's. number is the attempt's, counted from 1, and given what it
// says of the time that it has.
func (s *call) metadataOf(ctx context.Context, number int, node *registry.Node, given ration) context.Context {
	var room [96]byte
	id := s.client.appendRequestID(room[:0], node)
	s.mu.Lock()
	t, keyed, released := s.traits, s.carriesKey(), s.released
	s.mu.Unlock()
	if !keyed && len(id) == 0 && !given.known {
		return withoutLeaks(ctx)
	}
	md := withoutOwn(metadataIn(ctx), ownCount)
	switch {
	case len(id) == 0 && given.known:
		md[idempotency.HeaderAttemptTime] = given.String()
	case given.known:
		md[headers.Stream] = string(given.appendTo(append(id, behindID...)))
	case len(id) > 0:
		md[headers.Stream] = string(id)
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
	md := metadataIn(ctx)
	if !hasOwn(md) {
		return ctx
	}
	return metadata.NewContext(ctx, withoutOwn(md, 0))
}

// metadataIn is the metadata of ctx, to be read only. go-micro's FromContext makes a copy
// with all names in title case, which takes longer than what is done with it here.
func metadataIn(ctx context.Context) metadata.Metadata {
	md, _ := ctx.Value(metadataKey).(metadata.Metadata)
	return md
}

// metadataKey is the key that go-micro keeps the metadata of a context under.
//
//nolint:gochecknoglobals // never changes: it is go-micro's own, which has no name
var metadataKey = func() any {
	asked := keyCatcher{Context: context.Background()}
	metadata.FromContext(&asked)
	return asked.key
}()

// keyCatcher is a context that notes what it is asked for.
type keyCatcher struct {
	context.Context //nolint:containedctx // asked for one value
	key             any
}

// Value has none.
func (c *keyCatcher) Value(key any) any {
	c.key = key
	return nil
}

// behindID is between the identity of an attempt and its ration. A mucp server answers
// with all metadata of a request, in four system calls for each.
const behindID = "; "

// putKey adds a key and its age.
func putKey(md metadata.Metadata, key idempotency.Key) {
	md[idempotency.HeaderKey] = key.Value
	if issued := idempotency.FormatIssued(key.Issued); issued != "" {
		md[idempotency.HeaderIssued] = issued
	}
}
