package idempotency

import (
	"context"
	"errors"
	"sync"
	"time"
)

// leaseKeeper renews a claim while its handler runs. A nil keeper has nothing
// to keep.
type leaseKeeper struct {
	execution Execution
	lease     time.Duration
	timeout   time.Duration
	ctx       context.Context
	cancel    context.CancelFunc
	lose      context.CancelCauseFunc // cancels the handler

	mu      sync.Mutex // held while renewing
	timer   *time.Timer
	good    time.Time // until when the lease is known to be ours
	stopped bool
	lost    bool
}

// keepLease begins to renew the claim, until stop.
func (g *Guard) keepLease(ctx context.Context, execution Execution, lose context.CancelCauseFunc) *leaseKeeper {
	k := &leaseKeeper{
		execution: execution, lease: g.lease, timeout: g.storeTimeout,
		lose: lose, good: time.Now().Add(g.lease),
	}
	k.ctx, k.cancel = context.WithCancel(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(k.lease/3, k.renew)
	return k
}

// renew runs on the timer's goroutine, for which stop waits.
func (k *leaseKeeper) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	sent := time.Now()
	ctx, cancel := context.WithTimeout(k.ctx, min(k.timeout, max(k.lease/3, k.good.Sub(sent))))
	defer cancel()
	err := k.execution.Renew(ctx)
	switch now := time.Now(); {
	case err == nil:
		k.good = sent.Add(k.lease)
		k.timer.Reset(k.lease / 3)
	case k.ctx.Err() != nil: // stop is waiting
	case errors.Is(err, ErrLost) || !now.Before(k.good):
		k.lost = true
		k.lose(ErrLeaseLost)
	default:
		k.timer.Reset(min(k.lease/10, k.good.Sub(now)))
	}
}

// stop ends the renewal and reports whether the lease was lost.
func (k *leaseKeeper) stop() (lost bool) {
	if k == nil {
		return false
	}
	k.cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.timer.Stop()
	return k.lost
}

// goodUntil returns until when the lease is known to be ours, once stopped.
func (k *leaseKeeper) goodUntil() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.good
}
