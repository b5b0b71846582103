package wrapper_test

import (
	"context"
	"strconv"
	"testing"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// request is a request as a server's handlers see it.
type request struct {
	server.Request
	endpoint string
	body     any
}

func (r request) Service() string  { return "hello-srv" }
func (r request) Endpoint() string { return r.endpoint }
func (r request) Method() string   { return r.endpoint }
func (r request) Body() any        { return r.body }

// TestReadsAreNotDeduplicated where protobuf declares them to be reads, though
// their callers, who may not know, send a key.
func TestReadsAreNotDeduplicated(t *testing.T) {
	for name, tt := range map[string]struct {
		request request
		rsp     any
		opts    []wrapper.ServerOption
		runs    int
	}{
		"declared safe": {request{endpoint: "Say.Hello", body: &hello.HelloRequest{Name: "xuxu"}}, new(hello.HelloReply), nil, 2},
		"not declared":  {request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}, new(hello.TipReply), nil, 1},
		"said otherwise": {
			request{endpoint: "Say.Hello", body: &hello.HelloRequest{Name: "xuxu"}}, new(hello.HelloReply),
			[]wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyRequired, "Say.Hello")}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			handle := wrapHandler(t, func(context.Context, server.Request, any) error { runs++; return nil }, tt.opts...)
			for range 2 {
				if err := handle(keyed(t.Context(), "k"), tt.request, tt.rsp); err != nil {
					t.Fatal(err)
				}
			}
			if runs != tt.runs {
				t.Errorf("%d executions, want %d", runs, tt.runs)
			}
		})
	}
}

func wrapHandler(t testing.TB, next server.HandlerFunc, opts ...wrapper.ServerOption) server.HandlerFunc {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	wrap, err := wrapper.NewHandlerWrapper("hello-srv", guard, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(next)
}

// BenchmarkHandler is what the wrapper costs a first call and a replay, over a
// memory store. The bare handler shows what the benchmark itself allocates.
func BenchmarkHandler(b *testing.B) {
	req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
	bare := func(context.Context, server.Request, any) error { return nil }
	fresh := func(n int) string { return "key-" + strconv.Itoa(n) }
	for _, tt := range []struct {
		name   string
		handle server.HandlerFunc
		key    func(n int) string
	}{
		{"bare", bare, fresh},
		{"first", wrapHandler(b, bare), fresh},
		{"replay", wrapHandler(b, bare), func(int) string { return "key" }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if err := tt.handle(keyed(b.Context(), tt.key(n)), req, new(hello.TipReply)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
