package wrapper_test

import (
	"context"
	"errors"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// transactional is a store whose records would commit with the handler's writes.
type transactional struct{ idempotency.Store }

func (s transactional) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := s.Store.Begin(ctx, c)
	out.Transactional = true
	return out, err
}

// TestWhatNeverCommitsRunsOnce for one call; only what a repetition can mend is
// tried again.
func TestWhatNeverCommitsRunsOnce(t *testing.T) {
	cause := errors.New("constraint fails")
	for name, tt := range map[string]struct {
		err  error
		runs int
		code int32
	}{
		"for good":   {idempotency.NotApplied(cause), 1, 500},
		"repeatable": {idempotency.Repeatable(cause), wrapper.DefaultAttempts, 503},
	} {
		t.Run(name, func(t *testing.T) {
			memory, err := memstore.New()
			if err != nil {
				t.Fatal(err)
			}
			store := storetest.Faulty(transactional{memory}, func(_ context.Context, op storetest.Op) storetest.Fault {
				if op == storetest.OpComplete {
					return storetest.Fault{Before: tt.err}
				}
				return storetest.Fault{}
			})
			guard, err := idempotency.New(store, idempotency.WithLogger(nil))
			if err != nil {
				t.Fatal(err)
			}
			wrapHandler, err := wrapper.NewHandlerWrapper("hello-srv", guard)
			if err != nil {
				t.Fatal(err)
			}
			runs := 0
			handle := wrapHandler(func(context.Context, server.Request, any) error {
				runs++
				return nil
			})
			c := newWire(t, nodes("a", "b", "c"), func(
				ctx context.Context, _ *registry.Node, req client.Request, rsp any, _ client.CallOptions,
			) error {
				return handle(ctx, request{endpoint: req.Endpoint(), body: req.Body()}, rsp)
			}, wrapper.WithTrustedKeys())
			req := c.NewRequest("hello-srv", "Wallet.Tip", wrapperspb.String("10 cents"))
			err = c.Call(t.Context(), req, &wrapperspb.StringValue{})
			if e := merrors.FromError(err); err == nil || e.Code != tt.code {
				t.Errorf("error %v, want a %d", err, tt.code)
			}
			if runs != tt.runs {
				t.Errorf("%d executions, want %d", runs, tt.runs)
			}
		})
	}
}
