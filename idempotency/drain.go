package idempotency

import (
	"context"
	"fmt"
	"sync"
)

// work counts what must end before the process may stop.
type work struct {
	mu       sync.Mutex
	count    int
	draining bool
	idle     chan struct{} // closed when draining and nothing is left

	stopping   context.Context // ends when draining begins
	stop       context.CancelFunc
	background context.Context // of what outlives its call
	abandon    context.CancelCauseFunc
}

func newWork() *work {
	w := &work{idle: make(chan struct{})}
	w.stopping, w.stop = context.WithCancel(context.Background())
	w.background, w.abandon = context.WithCancelCause(context.Background())
	return w
}

// enter begins a piece of work, unless the guard is draining.
func (w *work) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining {
		return false
	}
	w.count++
	return true
}

// more begins a piece of work from within another, which keeps the count above 0.
func (w *work) more() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
}

func (w *work) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count--
	if w.draining && w.count == 0 {
		close(w.idle)
	}
}

func (w *work) drain(ctx context.Context) error {
	w.mu.Lock()
	if !w.draining {
		w.draining = true
		w.stop()
		if w.count == 0 {
			close(w.idle)
		}
	}
	w.mu.Unlock()
	select {
	case <-w.idle:
		w.abandon(ErrDraining)
		return nil
	case <-ctx.Done():
	}
	w.abandon(ErrDraining)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return nil
	}
	return fmt.Errorf("idempotency: drain: %d executions have not ended: %w", w.count, context.Cause(ctx))
}
