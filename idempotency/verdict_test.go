package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// TestHandlerThatWasCutOff: that something in it ended for lack of time says
// nothing when the whole of it did. What is recorded then does not ask to be asked
// again.
func TestHandlerThatWasCutOff(t *testing.T) {
	busy := &idempotency.RecordedError{ID: "bank", Code: 408, Detail: "timed out", Status: "Request Timeout"}
	for _, test := range []struct {
		name string
		end  func(ctx context.Context) error
		runs int // of two calls, on a detached store
		code int // where recorded
	}{
		{"its context", func(ctx context.Context) error { return ctx.Err() }, 1, 500},
		{"a callee's timeout", func(context.Context) error { return busy }, 1, 500},
		{"an answer all the same", func(context.Context) error { return &idempotency.RecordedError{Code: 402} }, 1, 402},
		{"final, whatever it is", func(context.Context) error { return idempotency.Final(busy) }, 1, 408},
		{"not done", func(context.Context) error { return idempotency.NotDone(busy) }, 2, 408},
		{"a callee that still runs", func(context.Context) error {
			return &handled{&idempotency.Error{Reason: idempotency.ErrWaitTimeout, Code: 408}}
		}, 2, 408},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard, _ := newGuard(t, newStore(t), idempotency.WithExecutionTimeout(3*time.Second))
				w := &worker{do: func(ctx context.Context, _ int) error {
					<-ctx.Done()
					return test.end(ctx)
				}}
				for i := range 2 {
					_, _, err := w.call(t.Context(), guard, "k")
					if got := codeOf(err); got != test.code {
						t.Errorf("call %d: code %d, want %d (%v)", i+1, got, test.code, err)
					}
				}
				w.want(t, test.runs)
			})
		})
	}
	t.Run("transactional", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			guard, _ := newGuard(t, transactional{newStore(t)}, idempotency.WithExecutionTimeout(3*time.Second))
			w := &worker{do: func(ctx context.Context, _ int) error {
				<-ctx.Done()
				return ctx.Err()
			}}
			for range 2 {
				if _, _, err := w.call(t.Context(), guard, "k"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			}
			w.want(t, 2)
		})
	})
}

func codeOf(err error) int {
	var coded interface{ StatusCode() int }
	if !errors.As(err, &coded) {
		return 500
	}
	return coded.StatusCode()
}

// TestLostLeaseAndAFinalError: a handler that says it is final is believed, as one
// that succeeds is.
func TestLostLeaseAndAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poor := &idempotency.RecordedError{Code: 402, Detail: "not enough"}
		store := newStore(t)
		guard, seen := newGuard(t, cutRenewals(store))
		elsewhere, _ := newGuard(t, store)
		w := &worker{do: func(context.Context, int) error {
			time.Sleep(15 * time.Second)
			return idempotency.Final(poor)
		}}
		for _, g := range []*idempotency.Guard{guard, elsewhere} {
			if _, _, err := w.call(t.Context(), g, "k"); codeOf(err) != 402 {
				t.Errorf("error %v, want the 402", err)
			}
		}
		w.want(t, 1)
		if seen.count(idempotency.EventStoreFailed) == 0 {
			t.Error("the renewals that failed were not reported")
		}
	})
}

// handled is an error of a handler that is another guard's answer.
type handled struct{ error }

func (h *handled) Unwrap() error { return h.error }
