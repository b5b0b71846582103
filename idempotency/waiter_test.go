package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// TestWaiterIsNotLate: a duplicate that was sent before the execution it waits
// for, and outlives its release, is there to be answered. One that arrives only
// then, and was sent before, is late.
func TestWaiterIsNotLate(t *testing.T) {
	for name, elsewhere := range map[string]bool{"same process": false, "other process": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				guard, _ := newGuard(t, store)
				waiters := guard
				if elsewhere {
					waiters, _ = newGuard(t, store)
				}
				w := &worker{do: func(_ context.Context, n int) error {
					time.Sleep(time.Second)
					if n == 1 {
						return idempotency.NotDone(errors.New("busy"))
					}
					return nil
				}}
				sent := time.Now()
				send := func(g *idempotency.Guard, after time.Duration) error {
					call, reply := tip("k")
					call.Attempt = sent.Add(after).UnixMicro()
					_, _, err := w.send(t.Context(), g, call, reply)
					return err
				}
				time.Sleep(time.Second)
				var group sync.WaitGroup
				group.Go(func() {
					if err := send(guard, 10*time.Millisecond); err == nil || err.Error() != "busy" {
						t.Errorf("the first: %v", err)
					}
				})
				synctest.Wait()
				for range 5 {
					group.Go(func() {
						if err := send(waiters, 0); err != nil {
							t.Errorf("one that waited: %v", err)
						}
					})
				}
				group.Wait()
				w.want(t, 2)
			})
		})
	}
}

// TestUndatedAttemptIsNeverLate: an attempt that does not say when it was sent is
// executed, even if the one that was released was dated by a clock that is fast.
func TestUndatedAttemptIsNeverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		guard, _ := newGuard(t, storetest.Faulty(newStore(t), func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpBegin {
				looks.Add(1)
			}
			return storetest.Fault{}
		}))
		w := &worker{do: func(context.Context, int) error { return idempotency.NotDone(errCut) }}
		call, reply := tip("k")
		call.Attempt = time.Now().Add(time.Hour).UnixMicro()
		if _, _, err := w.send(t.Context(), guard, call, reply); err != errCut {
			t.Fatal(err)
		}
		for range 50 {
			if _, _, err := w.call(t.Context(), guard, "k"); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
		}
		w.want(t, 51)
		if n := looks.Load(); n > 50*2+1 {
			t.Errorf("%d looks into the store", n)
		}
	})
}
