package idempotency

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// acquire asks the store for the key until it has an outcome other than
// Running, or the wait ends. It enters the guard's work, and leaves it while
// the request waits; r.entered tells where it stands at the end.
func (g *Guard) acquire(ctx context.Context, r *request) (Outcome, error) {
	look := poller{guard: g, request: r, delay: minPoll}
	defer look.end()
	for overtaken := 0; ; {
		if r.entered = g.work.enter(); !r.entered {
			return Outcome{}, r.stopped()
		}
		out, err := g.begin(ctx, r)
		switch {
		case err != nil:
			return Outcome{}, err
		case out.mayMismatch() && !out.Fingerprint.Matches(r.claim.Fingerprint):
			return Outcome{}, refusal(ErrMismatch, nil)
		case out.State == Superseded && r.isAfter(out.Attempt) && overtaken < mostOvertaken:
			overtaken++
			g.work.leave()
			r.putAfter(out.Attempt)
			continue
		case out.State != Running:
			r.fence = out.Fence
			return out, nil
		}
		g.work.leave()
		r.entered, r.joined = false, true
		r.stampNow()
		if err := g.mayWait(r); err != nil {
			return Outcome{}, err
		}
		g.joins(ctx, r)
		if err := look.pause(ctx, r.giveUp); err != nil {
			return Outcome{}, err
		}
	}
}

// isAfter reports whether the request is not late for a release, although the
// attempt that was released is dated after it.
func (r *request) isAfter(released int64) bool {
	return r.here || r.call.Released >= released
}

// putAfter dates the request after an attempt that was released. It is dated later
// than that, so that whoever knows of that release only is late for its own.
func (r *request) putAfter(released int64) {
	if r.here {
		r.stampNow()
	}
	if released < math.MaxInt64 {
		released++
	}
	r.claim.Attempt = max(r.claim.Attempt, released)
}

// mostOvertaken is how often a request that is here may be overtaken: between its
// look at the clock and the store's answer, or by an attempt that a fast clock has
// dated. Each time another execution has ended, so that it is as good as no bound.
const mostOvertaken = 10_000

// mayMismatch reports whether the outcome shows another request's fingerprint.
func (o *Outcome) mayMismatch() bool {
	return o.State == Done || o.State == Running || o.State == Orphaned
}

// mayWait says whether the request may wait for a duplicate, and from now on
// until when.
func (g *Guard) mayWait(r *request) error {
	if g.maxWait == 0 {
		return unsettled(ErrRunning, nil)
	}
	if r.giveUp.IsZero() {
		r.giveUp = time.Now().Add(g.maxWait)
	}
	return nil
}

// begin claims the key once, or twice with the same owner when the answer to
// the first claim was lost.
func (g *Guard) begin(ctx context.Context, r *request) (Outcome, error) {
	if hasLeft(ctx) {
		return Outcome{}, r.left(ctx)
	}
	out, err := g.beginOnce(ctx, r)
	if err != nil && r.claimUncertain && !errors.Is(err, context.DeadlineExceeded) && !hasLeft(ctx) {
		out, err = g.beginOnce(ctx, r)
	}
	switch {
	case err == nil:
		return out, nil
	case hasLeft(ctx):
		return Outcome{}, r.left(ctx)
	case r.joined && g.work.stopping.Err() != nil:
		return Outcome{}, r.stopped()
	}
	g.storeFailed(ctx, r, "claim", err)
	if r.joined { // what it saw running may have ended, and not with nothing
		return Outcome{}, unsettled(ErrWaitTimeout, err)
	}
	return Outcome{}, refusal(ErrUnavailable, err)
}

// hasLeft tells whether the caller's time is up. A store that puts the deadline
// on its socket notices that a moment before the context does.
func hasLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// left answers a caller that has left.
func (r *request) left(ctx context.Context) error {
	why := context.Cause(ctx)
	if why == nil {
		why = context.DeadlineExceeded
	}
	if r.joined {
		return unsettled(ErrWaitTimeout, why)
	}
	return refusal(ErrCanceled, why)
}

// stopped answers a call to a guard that is draining.
func (r *request) stopped() error {
	if r.joined {
		return unsettled(ErrWaitTimeout, ErrDraining)
	}
	return refusal(ErrDraining, nil)
}

func (g *Guard) beginOnce(ctx context.Context, r *request) (Outcome, error) {
	bounded := &r.pollCtx
	if r.looked {
		r.claim.Wait = g.waitLeft(ctx, r)
		bounded = new(deadline)
	}
	r.looked = true
	bounded.start(ctx, r.claim.Wait+g.storeTimeout, nil)
	defer bounded.end(context.Canceled)
	if r.claim.Wait > 0 { // a drain does not wait for those who wait
		defer context.AfterFunc(g.work.stopping, func() { bounded.end(ErrDraining) })()
	}
	if !r.claimUncertain { // else the lease may have begun with the claim before
		r.sent = time.Now()
	}
	var out Outcome
	err := g.timed(ctx, r, OperationClaim, func() (err error) {
		out, err = g.store.Begin(bounded, g.claimOf(r))
		return err
	})
	if err == nil && !out.valid() {
		err = NotApplied(fmt.Errorf("the store's outcome is invalid: %v", out.State))
	}
	r.claimUncertain = err != nil && (r.claimUncertain || !errors.Is(err, ErrNotApplied))
	return out, err
}

// waitLeft returns how long the store may block for a duplicate. It is not asked
// at the first look, so that a store that hangs is told from one that waits.
func (g *Guard) waitLeft(ctx context.Context, r *request) time.Duration {
	if r.giveUp.IsZero() {
		return 0
	}
	left := time.Until(r.giveUp)
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	return max(0, left)
}

func (o *Outcome) valid() bool {
	if o.State == Acquired {
		return o.Execution != nil
	}
	return o.State > Acquired && o.State <= Superseded
}

// minPoll is the first pause before a key that another process runs is
// looked at again, where the store reports no changes.
const minPoll = 5 * time.Millisecond

// poller paces the looks at a key that another process runs.
type poller struct {
	guard   *Guard
	request *request
	delay   time.Duration

	asked bool // whether the store can watch
	wake  <-chan struct{}
	stop  func()
}

// pause returns nil when it is time to look again. The first pause where the
// store can watch is none: a change before the watch began must not be missed.
func (p *poller) pause(ctx context.Context, giveUp time.Time) error {
	if !p.asked {
		p.asked = true
		if p.watch(ctx) {
			return nil
		}
	}
	left := time.Until(giveUp)
	if left <= 0 {
		return unsettled(ErrWaitTimeout, nil)
	}
	timer := time.NewTimer(min(p.delay, left))
	defer timer.Stop()
	p.delay = min(2*p.delay, p.guard.pollInterval)
	select {
	case <-p.wake:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return unsettled(ErrWaitTimeout, context.Cause(ctx))
	case <-p.guard.work.stopping.Done():
		return unsettled(ErrWaitTimeout, ErrDraining)
	}
}

// watch reports whether the store will tell of changes. If it cannot just now,
// the looks come at short intervals instead.
func (p *poller) watch(ctx context.Context) bool {
	watcher, ok := p.guard.store.(Watcher)
	if !ok {
		return false
	}
	bounded, cancel := context.WithTimeout(ctx, p.guard.storeTimeout)
	defer cancel()
	var wake <-chan struct{}
	var stop func()
	err := p.guard.timed(ctx, p.request, OperationWatch, func() (err error) {
		wake, stop, err = watcher.Watch(bounded, p.request.claim.Key)
		return err
	})
	if err != nil {
		if !hasLeft(ctx) {
			p.guard.storeFailed(ctx, p.request, "watch", err)
		}
		return false
	}
	p.wake, p.stop, p.delay = wake, stop, p.guard.pollInterval
	return true
}

func (p *poller) end() {
	if p.stop != nil {
		p.stop()
	}
}

// follow waits for the leader of a duplicate in this process. again says that
// the leader has no answer for others.
func (g *Guard) follow(ctx context.Context, r *request, f *flight) (_ Result, again bool, _ error) {
	select {
	case <-f.done:
	default:
		if err := g.mayWait(r); err != nil {
			return Result{}, false, err
		}
		g.joins(ctx, r)
		if err := waitFor(ctx, f.done, r.giveUp); err != nil {
			return Result{}, false, err
		}
	}
	switch {
	case f.err != nil:
		return Result{}, false, f.err
	case f.record != nil:
		result, err := g.replay(ctx, r, f.record)
		return result, false, err
	}
	return Result{}, true, nil
}

func waitFor(ctx context.Context, done <-chan struct{}, giveUp time.Time) error {
	timer := time.NewTimer(time.Until(giveUp))
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return unsettled(ErrWaitTimeout, context.Cause(ctx))
	case <-timer.C:
		return unsettled(ErrWaitTimeout, nil)
	}
}
