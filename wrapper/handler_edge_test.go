package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
// it be an error of this module's, which it got from a guard or a call of its own.
// Its first caller gets what duplicates get, and never that nothing ran. Where it is
// no answer of its callee's, the handler has none either, and runs again.
func TestHandlersErrorsAreNotTheGuards(t *testing.T) {
	_, malformed := idempotency.ParseKey("a b")
	marked := func(code int32, kind retryfunc.MarkKind) error {
		return fmt.Errorf("pay: %w", retryfunc.NewMarked(code, "busy", retryfunc.Mark{Kind: kind, Service: "hello-srv"}))
	}
	lost := func(code int32, detail string) error { return merrors.New("go.micro.client", detail, code) }
	for name, tt := range map[string]struct {
		answer error
		runs   int // of two calls
	}{
		"refused by a guard":  {&idempotency.Error{Reason: idempotency.ErrUnavailable, Code: 503, NothingRan: true}, 2},
		"relayed by a wrap":   {fmt.Errorf("pay: %w", &idempotency.Error{Reason: idempotency.ErrDraining, Code: 503}), 2},
		"key of another call": {&idempotency.Error{Reason: idempotency.ErrMismatch, Code: 422, NothingRan: true}, 2},
		"malformed key":       {fmt.Errorf("pay: %w", malformed), 1},
		"recorded":            {fmt.Errorf("pay: %w", &idempotency.RecordedError{ID: "other", Code: 402, Detail: "no money"}), 1},
		"panicked elsewhere":  {fmt.Errorf("pay: %w", &idempotency.PanicError{Value: "secret"}), 1},
		"without an id":       {&merrors.Error{Code: 400, Detail: "no"}, 1},
		"refused by a callee": {marked(503, retryfunc.MarkRefused), 2},
		"too late there":      {marked(409, retryfunc.MarkRefused), 2},
		"callee runs":         {marked(409, retryfunc.MarkRunning), 2},
		"callee runs, 408":    {marked(408, retryfunc.MarkRunning), 2},
		"commit unknown":      {marked(500, retryfunc.MarkRunning), 2},
		"callee unknown":      {marked(409, retryfunc.MarkUnknown), 2},
		"relayed twice":       {marked(409, retryfunc.MarkRelayed), 2},
		"key used there":      {retryfunc.NewMarked(422, "used", retryfunc.Mark{}), 2},
		"callee's timeout":    {lost(408, "context deadline exceeded"), 2},
		"callee is broken":    {lost(500, "connection error: dial tcp 127.0.0.1:1: connect: connection refused"), 2},
		"its connection":      {fmt.Errorf("provider: %w", io.ErrUnexpectedEOF), 2},
		"no callee":           {lost(500, "service bank: not found"), 2},
		"overloaded":          {merrors.New("bank", "slow down", 429), 2},
		"handler's own 503":   {merrors.New("bank", "closed on Sundays", 503), 2},
		"final 503":           {idempotency.Final(merrors.New("bank", "closed for ever", 503)), 1},
		"handler's own 500":   {merrors.InternalServerError("bank", "disk full"), 1},
		"gone":                {merrors.New("bank", "gone", 410), 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			handle := wrapHandler(t, func(context.Context, server.Request, any) error { runs++; return tt.answer })
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
			first := handle(keyed(t.Context(), "k"), req, new(hello.TipReply))
			second := handle(keyed(t.Context(), "k"), req, new(hello.TipReply))
			if first == nil || second == nil || first.Error() != second.Error() {
				t.Errorf("answered\n%v, then\n%v", first, second)
			}
			if runs != tt.runs {
				t.Errorf("%d executions, want %d; answered %v", runs, tt.runs, first)
			}
			if first != nil && name == "panicked elsewhere" && strings.Contains(first.Error(), "secret") {
				t.Errorf("the caller is told %v", first)
			}
			mark, ok := retryfunc.ParseMark(first)
			if told := mark.Kind; ok && told != retryfunc.MarkRelayed && told != retryfunc.MarkUnsettled {
				t.Errorf("the handler ran, and its caller was told %v", mark)
			}
			if mark.Kind == retryfunc.MarkUnsettled && tt.runs == 1 {
				t.Errorf("the answer is kept, and its caller was told %v", mark)
			}
		})
	}
}

// TestUnsettledIsTold: the caller learns that no record is kept of an error, where its
// code does not say so. The error stays the handler's.
func TestUnsettledIsTold(t *testing.T) {
	unsettled := retryfunc.Mark{Kind: retryfunc.MarkUnsettled, Service: "hello-srv"}
	elsewhere := retryfunc.NewMarked(402, "no", retryfunc.Mark{Kind: retryfunc.MarkUnsettled, Service: "bank"})
	elsewhere.Id = "till"
	for name, tt := range map[string]struct {
		answer error
		id     string
		code   int32
		want   retryfunc.Mark
	}{
		"not done":                 {idempotency.NotDone(merrors.New("till", "no", 402)), "till", 402, unsettled},
		"timeout without a code":   {fmt.Errorf("charge: %w", context.DeadlineExceeded), "hello-srv", 500, unsettled},
		"a callee's":               {elsewhere, "till", 402, unsettled},
		"a callee's, final here":   {idempotency.Final(elsewhere), "till", 402, retryfunc.Mark{}},
		"said by its code":         {merrors.New("till", "slow down", 429), "till", 429, retryfunc.Mark{}},
		"kept":                     {merrors.New("till", "no", 402), "till", 402, retryfunc.Mark{}},
		"a failure, which is kept": {errors.New("disk full"), "hello-srv", 500, retryfunc.Mark{}},
	} {
		t.Run(name, func(t *testing.T) {
			handle := wrapHandler(t, func(context.Context, server.Request, any) error { return tt.answer })
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
			for range 2 {
				err := handle(keyed(t.Context(), "k"), req, new(hello.TipReply))
				if e := merrors.FromError(err); err == nil || e.Id != tt.id || e.Code != tt.code {
					t.Errorf("answered %v, want the error of %s, %d", err, tt.id, tt.code)
				}
				if mark, _ := retryfunc.ParseMark(err); mark != tt.want {
					t.Errorf("%v says %+v, want %+v", err, mark, tt.want)
				}
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
