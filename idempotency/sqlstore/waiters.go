package sqlstore

import (
	"context"
	"time"
)

// waiters bounds how many claims wait in the database at a time.
type waiters struct{ slots chan struct{} }

func newWaiters(n int) waiters { return waiters{make(chan struct{}, n)} }

// enter waits for a slot; false says that there was none in time.
func (w waiters) enter(ctx context.Context, wait time.Duration) bool {
	if cap(w.slots) == 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case w.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

func (w waiters) leave() { <-w.slots }
