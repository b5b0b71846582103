package bench

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// BenchmarkLoopback is one successful call over a real connection, wrapped on
// either side or on both, beside the bare one: without a key, to an endpoint
// that is safe, and with one. There the base carries a key too, because
// go-micro's mucp server answers with all headers of the request, in four system
// calls for each; the arm without-key shows what that costs.
func BenchmarkLoopback(b *testing.B) {
	for _, transport := range fixture.Transports() {
		b.Run("transport="+transport, func(b *testing.B) {
			plain := newDialer(b, transport, serve(b, transport))
			deduping := newDialer(b, transport, serve(b, transport, server.WrapHandler(handlerWrapper(b))),
				wrapper.MetadataServer, "2")
			b.Run("call=safe", func(b *testing.B) {
				inTurns(b, []arm{
					{name: "bare", call: calling(plain.dial(b), read)},
					{name: "control", call: calling(plain.dial(b), read)},
					{name: "client", call: calling(wrapped(b, plain.dial(b)), read)},
					{name: "handler", call: calling(deduping.dial(b), read)},
					{name: "both", call: calling(wrapped(b, deduping.dial(b)), read)},
				})
			})
			b.Run("call=keyed", func(b *testing.B) {
				key := withFreshKey(b)
				inTurns(b, []arm{
					{name: "bare", call: calling(plain.dial(b), write), prepare: key},
					{name: "control", call: calling(plain.dial(b), write), prepare: key},
					{name: "client", call: calling(wrapped(b, plain.dial(b)), write)},
					{name: "handler", call: calling(deduping.dial(b), write), prepare: key},
					{name: "both", call: calling(wrapped(b, deduping.dial(b)), write)},
					{name: "without-key", call: calling(plain.dial(b), write)},
				})
			})
		})
	}
}

// dialer makes clients of one server. Each arm has a client, and so a
// connection, of its own.
type dialer struct {
	transport, address string
	metadata           map[string]string
}

func newDialer(b *testing.B, transport, address string, metadata ...string) dialer {
	b.Helper()
	return dialer{transport, address, nodeMetadata(metadata...)}
}

func (d dialer) dial(b *testing.B) client.Client {
	b.Helper()
	return fixture.NewClient(b, d.transport, nil, selecting(b, bank(d.metadata, d.address)))
}

// withFreshKey makes the callers of a bare client send keys of their own.
func withFreshKey(b *testing.B) func(context.Context) context.Context {
	b.Helper()
	return func(ctx context.Context) context.Context {
		key, err := idempotency.NewUUID()
		must(b, err)
		return metadata.NewContext(ctx, metadata.Metadata{
			idempotency.HeaderKey:        key,
			idempotency.HeaderFor:        idempotency.CallName(service, write),
			idempotency.HeaderIssued:     idempotency.FormatIssued(time.Now()),
			idempotency.HeaderRetryCount: "0",
			idempotency.HeaderSent:       idempotency.FormatIssued(time.Now()),
		})
	}
}
