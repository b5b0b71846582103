package storetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Skew gives [Harness].Skewed for a store on a server: each operation runs in a
// bubble of [synctest], where the process has another time than the server. open
// opens the store for one of them, with connections of its own that are closed by
// t.Cleanup, so that the execution it gives can only be left to lapse.
func Skew(open func(t *testing.T) idempotency.Store) func(t *testing.T, d time.Duration) idempotency.Store {
	return func(t *testing.T, d time.Duration) idempotency.Store { return &skewed{t, d, open} }
}

type skewed struct {
	t    *testing.T
	by   time.Duration
	open func(t *testing.T) idempotency.Store
}

func (s *skewed) within(do func(ctx context.Context, store idempotency.Store)) {
	now := time.Now().Add(s.by)
	synctest.Test(s.t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // takes no time
		do(t.Context(), s.open(t))
	})
}

func (s *skewed) ID(context.Context) (id string, err error) {
	s.within(func(ctx context.Context, store idempotency.Store) { id, err = store.ID(ctx) })
	return id, err
}

func (s *skewed) Begin(_ context.Context, c idempotency.Claim) (out idempotency.Outcome, err error) {
	s.within(func(ctx context.Context, store idempotency.Store) { out, err = store.Begin(ctx, c) })
	return out, err
}
