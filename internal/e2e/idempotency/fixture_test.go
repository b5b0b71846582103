// Package idempotency_test shows what a guard answers on both kinds of store:
// a detached one, and a transactional one on a real database, whose driver is
// no requirement of package idempotency.
package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("connection cut")

func newStore(t *testing.T) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newGuard returns a guard as another process would have it.
func newGuard(t *testing.T, store idempotency.Store, options ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	guard, err := idempotency.New(store, options...)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// tip is a keyed call, with its own reply.
func tip(key string) (idempotency.Call, *wrapperspb.StringValue) {
	reply := &wrapperspb.StringValue{}
	return idempotency.Call{
		Service: "bank", Endpoint: "Wallet.Tip", Caller: "alice",
		Key: idempotency.Key{Value: key}, Body: wrapperspb.String("10 cents"), Reply: reply,
	}, reply
}

// worker is a handler that counts its executions.
type worker struct {
	runs atomic.Int32
	do   func(ctx context.Context, n int) error
}

func (w *worker) call(ctx context.Context, g *idempotency.Guard, key string) (string, error) {
	call, reply := tip(key)
	_, err := g.Do(ctx, call, func(ctx context.Context) error {
		n := int(w.runs.Add(1))
		reply.Value = fmt.Sprintf("run %d", n)
		return w.do(ctx, n)
	})
	return reply.GetValue(), err
}

// wantMismatch checks that another body was refused before anything ran.
func wantMismatch(t *testing.T, err error) {
	t.Helper()
	var typed *idempotency.Error
	if !errors.As(err, &typed) || !errors.Is(err, idempotency.ErrMismatch) {
		t.Fatalf("error %v, want %v", err, idempotency.ErrMismatch)
	}
	if typed.StatusCode() != 422 || !typed.NothingRan {
		t.Errorf("code %d, nothing ran %v; want 422, true", typed.Code, typed.NothingRan)
	}
}
