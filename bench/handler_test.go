package bench

import (
	"context"
	"testing"

	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BenchmarkHandler is the handler wrapper alone, without a connection: a call
// without a key, one with a fresh key, and its duplicates.
func BenchmarkHandler(b *testing.B) {
	bare := handling(func(ctx context.Context, req server.Request, rsp any) error {
		return Bank{}.Write(ctx, req.Body().(*wrapperspb.StringValue), rsp.(*wrapperspb.StringValue))
	})
	deduping := handling(handlerWrapper(b)(server.HandlerFunc(bare)))
	fresh := withFreshKey(b)
	same := fresh(b.Context())
	for _, h := range []struct {
		name    string
		handle  handling
		context func() context.Context
	}{
		{"bare", bare, b.Context},
		{"unkeyed", deduping, b.Context},
		{"first", deduping, func() context.Context { return fresh(b.Context()) }},
		{"duplicate", deduping, func() context.Context { return same }},
	} {
		b.Run("call="+h.name, func(b *testing.B) { h.handle.measure(b, h.context) })
	}
}

type handling server.HandlerFunc

// measure handles requests in contexts made in advance, many at a time, so that
// making them is not measured.
func (h handling) measure(b *testing.B, newContext func() context.Context) {
	b.Helper()
	req := request{body: wrapperspb.String("please")}
	b.ReportAllocs()
	var contexts []context.Context
	for b.Loop() {
		if len(contexts) == 0 {
			b.StopTimer()
			for range turn {
				contexts = append(contexts, newContext())
			}
			b.StartTimer()
		}
		ctx := contexts[len(contexts)-1]
		contexts = contexts[:len(contexts)-1]
		rsp := new(wrapperspb.StringValue)
		if err := h(ctx, req, rsp); err != nil {
			b.Fatal(err)
		}
		if err := check(rsp); err != nil {
			b.Fatal(err)
		}
	}
}

// request is a request as a server gives it to a handler.
type request struct {
	server.Request

	body any
}

func (request) Service() string  { return service }
func (request) Method() string   { return write }
func (request) Endpoint() string { return write }
func (r request) Body() any      { return r.body }
func (request) Stream() bool     { return false }
