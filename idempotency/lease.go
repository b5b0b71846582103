package idempotency

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// leaseKeeper renews a claim while its handler runs. Without an execution it
// has nothing to keep.
type leaseKeeper struct {
	run *run // whose claim it is; nil without one

	ending   atomic.Bool
	renewing atomic.Pointer[deadline] // of the renewal under way

	mu    sync.Mutex // held while renewing
	timer *time.Timer
	good  time.Time // until when the lease is known to be ours
	lost  bool
}

// start begins to renew the claim, which was sent at the given time, until stop.
func (k *leaseKeeper) start(e *run, sent time.Time) {
	k.run, k.good = e, sent.Add(e.Guard.lease)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(e.Guard.lease/3, k.renew)
}

// isOver reports whether the lease may have ended before the work has begun, as
// in a process that was frozen after its claim.
func (k *leaseKeeper) isOver() bool {
	return k.run != nil && !time.Now().Before(k.goodUntil())
}

// renew runs on the timer's goroutine, for which stop waits.
func (k *leaseKeeper) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.run
	sent := time.Now()
	if !sent.Before(k.good) {
		k.lose()
		return
	}
	ctx := new(deadline).start(e.detached, min(e.storeTimeout, k.good.Sub(sent)), nil)
	defer ctx.end(context.Canceled)
	k.renewing.Store(ctx)
	if k.ending.Load() {
		return
	}
	err := e.timed(e.detached, e.request, OperationRenew, func() error { return e.out.Execution.Renew(ctx) })
	if k.ending.Load() { // nobody needs the lease any more
		return
	}
	if err != nil && !errors.Is(err, ErrLost) {
		e.storeFailed(e.detached, e.request, "renew", err)
	}
	switch now := time.Now(); {
	case err == nil:
		k.good = sent.Add(e.Guard.lease)
		k.timer.Reset(e.Guard.lease / 3)
	case errors.Is(err, ErrLost) || !now.Before(k.good):
		k.lose()
	default:
		k.timer.Reset(min(e.Guard.lease/10, k.good.Sub(now)))
	}
}

// giveUp lets the claim lapse.
func (k *leaseKeeper) giveUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lose()
}

// lose cancels the handler: another owner may have taken the key over.
func (k *leaseKeeper) lose() {
	k.lost = true
	k.run.handler.end(ErrLeaseLost)
}

// stop ends the renewal and reports whether the lease was lost.
func (k *leaseKeeper) stop() (lost bool) {
	if k.run == nil {
		return false
	}
	k.ending.Store(true)
	if ctx := k.renewing.Load(); ctx != nil {
		ctx.end(context.Canceled)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer.Stop()
	return k.lost
}

// goodUntil returns until when the lease is known to be ours.
func (k *leaseKeeper) goodUntil() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.good
}
