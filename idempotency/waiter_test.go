package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
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
