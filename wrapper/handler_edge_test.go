package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestHandlersErrorsAreNotTheGuards: what a handler answers is its answer, though
// it be an error of this module's, which it got from a guard or a call of its
// own. Its first caller gets what duplicates get, and never that nothing ran.
func TestHandlersErrorsAreNotTheGuards(t *testing.T) {
	_, malformed := idempotency.ParseKey("a b")
	for name, answer := range map[string]error{
		"refused by a guard":  &idempotency.Error{Reason: idempotency.ErrUnavailable, Code: 503, NothingRan: true},
		"relayed by a wrap":   fmt.Errorf("pay: %w", &idempotency.Error{Reason: idempotency.ErrDraining, Code: 503}),
		"malformed key":       fmt.Errorf("pay: %w", malformed),
		"recorded":            fmt.Errorf("pay: %w", &idempotency.RecordedError{ID: "other", Code: 402, Detail: "no money"}),
		"panicked elsewhere":  fmt.Errorf("pay: %w", &idempotency.PanicError{Value: "secret"}),
		"step needed":         &idempotency.StepError{Service: "bank", Endpoint: "Bank.Pay"},
		"without an id":       &merrors.Error{Code: 400, Detail: "no"},
		"refused by a callee": retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "hello-srv"}),
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			handle := wrapHandler(t, func(context.Context, server.Request, any) error { runs++; return answer })
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
			first := handle(keyed(t.Context(), "k"), req, new(hello.TipReply))
			second := handle(keyed(t.Context(), "k"), req, new(hello.TipReply))
			if first == nil || second == nil || first.Error() != second.Error() || runs != 1 {
				t.Errorf("%d executions; answered\n%v, then\n%v", runs, first, second)
			}
			if mark, ok := retryfunc.ParseMark(first); ok && mark.Kind != retryfunc.MarkRelayed {
				t.Errorf("the handler ran, and its caller was told %v", mark)
			}
		})
	}
}

// TestNotDoneIsReleased, whatever error of this module's is marked so.
func TestNotDoneIsReleased(t *testing.T) {
	runs := 0
	refused := &idempotency.Error{Reason: idempotency.ErrUnavailable, Code: 503, NothingRan: true}
	handle := wrapHandler(t, func(context.Context, server.Request, any) error { runs++; return idempotency.NotDone(refused) })
	req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
	for range 2 {
		if err := handle(keyed(t.Context(), "k"), req, new(hello.TipReply)); err == nil {
			t.Error("no error")
		}
	}
	if runs != 2 {
		t.Errorf("%d executions of what was not done twice", runs)
	}
}

// TestPanicsOfTheUsersFunctions end the call, and not the process, as on grpc
// they would: it recovers no panic of a wrapper's.
func TestPanicsOfTheUsersFunctions(t *testing.T) {
	t.Run("caller", func(t *testing.T) {
		handle := wrapHandler(t, func(context.Context, server.Request, any) error { return nil },
			wrapper.WithCaller(func(context.Context, string) (string, error) { panic("secret") }))
		wantPanicAnswered(t, handle)
	})
	t.Run("decision", func(t *testing.T) {
		handle := wrapHandler(t, func(context.Context, server.Request, any) error { return errors.New("no") },
			wrapper.WithEndpointSettings("Wallet.Tip",
				idempotency.WithErrorPolicy(func(error) idempotency.Verdict { panic("secret") })))
		wantPanicAnswered(t, handle)
	})
}

func wantPanicAnswered(t *testing.T, handle server.HandlerFunc) {
	t.Helper()
	defer func() {
		if value := recover(); value != nil {
			t.Errorf("the wrapper panicked: %v", value)
		}
	}()
	err := handle(keyed(t.Context(), "k"), request{endpoint: "Wallet.Tip", body: &hello.TipRequest{}}, new(hello.TipReply))
	if e := merrors.FromError(err); err == nil || e.Code != 500 || strings.Contains(e.Detail, "secret") {
		t.Errorf("error %v, want a 500", err)
	}
}

// stream and response are what a handler gets in place of a reply.
type (
	stream   struct{ server.Stream }
	response struct{ server.Response }
)

// TestPassesThrough what has no reply to keep, as often as it comes, and without
// its caller's key.
func TestPassesThrough(t *testing.T) {
	for name, rsp := range map[string]any{"stream": stream{}, "response of a router": response{}} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			handle := wrapHandler(t, func(ctx context.Context, _ server.Request, got any) error {
				runs++
				if key, ok := metadata.Get(ctx, idempotency.HeaderKey); ok || got != rsp {
					t.Errorf("got %T, key %q", got, key)
				}
				return nil
			}, wrapper.WithKeyMode(wrapper.KeyRequired))
			for range 2 {
				if err := handle(keyed(t.Context(), "k"), request{endpoint: "Say.Count"}, rsp); err != nil {
					t.Error(err)
				}
			}
			if runs != 2 {
				t.Errorf("%d executions of 2", runs)
			}
		})
	}
}

// TestKeyIsTakenOut of the metadata of every handler, keyed or not, so that it
// does not travel on with a call that the handler makes.
func TestKeyIsTakenOut(t *testing.T) {
	for _, mode := range []wrapper.KeyMode{wrapper.KeyOptional, wrapper.KeyRequired, wrapper.KeyOff} {
		t.Run(mode.String(), func(t *testing.T) {
			handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
				md, _ := metadata.FromContext(ctx)
				if len(md) != 1 || md["Zone"] != "a" {
					t.Errorf("the handler has %v", md)
				}
				return nil
			}, wrapper.WithKeyMode(mode))
			ctx := keyed(t.Context(), "k", "Zone", "a", idempotency.HeaderFor, "hello-srv/Wallet.Tip",
				idempotency.HeaderIssued, "", idempotency.HeaderSent, "", idempotency.HeaderRetryCount, "0", "Micro-Stream", "s")
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{}}
			if err := handle(ctx, req, new(hello.TipReply)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWrongEndpointSettings are all named, with their endpoints.
func TestWrongEndpointSettings(t *testing.T) {
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	_, err = wrapper.NewHandlerWrapper("bank", guard,
		wrapper.WithEndpointSettings("Bank.Pay", idempotency.WithLease(-1)),
		wrapper.WithEndpointSettings("Bank.Donate", idempotency.WithMaxReply(0)))
	for _, want := range []string{"Bank.Pay", "WithLease", "Bank.Donate", "WithMaxReply"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
