package idempotency_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// TestTakerThatIsTooLateLeavesTheOrphan: a taker that froze before it asked what
// the first owner did must not free the key, as if nothing had been done.
func TestTakerThatIsTooLateLeavesTheOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		orphan(t, store)
		taker := newProcess(store, "after the claim")
		asked := 0
		look := idempotency.WithTakeover(idempotency.TakeoverRecover(func(context.Context, idempotency.Orphan) (bool, error) {
			asked++
			return true, nil
		}))
		here, _ := newGuard(t, taker, look)
		elsewhere, _ := newGuard(t, store, look)
		w := &worker{}
		var group sync.WaitGroup
		group.Go(func() {
			_, _, err := w.call(t.Context(), here, "k")
			wantError(t, err, idempotency.ErrLeaseLost, 409, false)
		})
		synctest.Wait()
		time.Sleep(11 * time.Second)
		close(taker.thaw)
		group.Wait()
		if _, _, err := w.call(t.Context(), elsewhere, "k"); err != nil {
			t.Error(err)
		}
		w.want(t, 0)
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestRecoveryThatIsTooLate: an answer of "not done" is as old as the question,
// so that the handler does not run on it when the lease is over.
func TestRecoveryThatIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		orphan(t, store)
		cut := storetest.Faulty(store, script(storetest.OpRenew, storetest.Fault{Before: errCut}))
		here, _ := newGuard(t, cut, idempotency.WithTakeover(idempotency.TakeoverRecover(
			func(context.Context, idempotency.Orphan) (bool, error) {
				time.Sleep(11 * time.Second)
				return false, nil
			})))
		elsewhere, _ := newGuard(t, store)
		w := &worker{}
		_, _, err := w.call(t.Context(), here, "k")
		wantError(t, err, idempotency.ErrLeaseLost, 409, false)
		w.want(t, 0)
		if reply, _, err := w.call(t.Context(), elsewhere, "k"); err != nil || reply != "run 1" {
			t.Errorf("afterwards: %q, %v", reply, err)
		}
	})
}

// slowAnswer loses the answer to the first claim, after a while.
type slowAnswer struct {
	idempotency.Store
	takes  time.Duration
	begins atomic.Int32
}

func (s *slowAnswer) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := s.Store.Begin(ctx, c)
	if s.begins.Add(1) == 1 {
		time.Sleep(s.takes)
		return idempotency.Outcome{}, errCut
	}
	return out, err
}

// TestLeaseCountsFromTheFirstClaim: a claim that is found again was made when it
// was asked for first, so that its lease may be over by now.
func TestLeaseCountsFromTheFirstClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, &slowAnswer{Store: newStore(t), takes: 2 * time.Second}, idempotency.WithLease(time.Second))
		w := &worker{}
		_, _, err := w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrLeaseLost, 409, false)
		w.want(t, 0)
	})
}

// TestNotDoneIsReleasedWithoutALease: a handler that was cancelled with its lease,
// and says that nothing has happened, leaves no orphan.
func TestNotDoneIsReleasedWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		here, _ := newGuard(t, storetest.Faulty(store, script(storetest.OpRenew, storetest.Fault{Before: errCut})))
		elsewhere, _ := newGuard(t, store)
		w := &worker{do: func(ctx context.Context, n int) error {
			if n == 1 {
				<-ctx.Done()
				return idempotency.NotDone(errCut)
			}
			return nil
		}}
		if _, _, err := w.call(t.Context(), here, "k"); err != errCut {
			t.Errorf("owner: %v", err)
		}
		time.Sleep(time.Minute)
		if got, _, err := w.call(t.Context(), elsewhere, "k"); err != nil || got != "run 2" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
