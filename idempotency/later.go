package idempotency

import (
	"context"
	"errors"
	"time"
)

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
	// maxSettling bounds the uncertain claims that are looked after at a time.
	maxSettling = 256
)

// retryLater tells a detached store, within the lease, what it could not be
// told at once. done, if not nil, is called when that has ended. A record of
// nil stands for a release.
func (e *run) retryLater(operation func(context.Context) error, record []byte, done func()) {
	until := e.lease.goodUntil()
	e.work.more()
	go func() {
		defer e.work.leave()
		if done != nil {
			defer done()
		}
		asked := OperationComplete
		if record == nil {
			asked = OperationRelease
		}
		err := e.retry(until, func(ctx context.Context) error {
			return e.timed(e.detached, e.request, asked, func() error { return operation(ctx) })
		})
		event := Event{Kind: EventExecuted, Record: record, Err: err, Origin: e.from}
		switch {
		case errors.Is(err, ErrLost):
			event.Kind = EventLeaseLost
		case err != nil:
			event.Kind = EventUnresolved
		case record == nil:
			return // reported as released before
		}
		e.report(e.detached, e.request, event)
	}()
}

// settleLater ends a claim that the store may hold although it did not say so:
// with a record if there is one, else by releasing it. Without that, a call
// that never ran would be orphaned.
func (g *Guard) settleLater(ctx context.Context, r *request, record []byte) {
	if g.settling.Add(1) > maxSettling {
		g.settling.Add(-1)
		g.report(ctx, r, Event{Kind: EventUnresolved, Record: record, Err: ErrUnavailable})
		return
	}
	g.work.more()
	go func() {
		defer g.work.leave()
		defer g.settling.Add(-1)
		err := g.retry(time.Now().Add(g.lease), func(ctx context.Context) error {
			return g.settleClaim(ctx, g.claimOf(r), record)
		})
		if err != nil {
			g.report(context.WithoutCancel(ctx), r, Event{Kind: EventUnresolved, Record: record, Err: err})
		}
	}()
}

func (g *Guard) settleClaim(ctx context.Context, claim Claim, record []byte) error {
	claim.Wait, claim.Takeover = 0, false
	out, err := g.store.Begin(ctx, claim)
	switch {
	case err != nil:
		return err
	case out.State != Acquired: // the claim is not there
		return nil
	case record != nil:
		return out.Execution.Complete(ctx, record)
	case out.TakenOver: // nobody knows what its first owner did: let it lapse
		return nil
	}
	return out.Execution.Release(ctx)
}

// retry repeats an operation of the store until it succeeds, is lost to
// another owner, or time is up; at least once, unless a drain gives it up.
func (g *Guard) retry(until time.Time, operation func(context.Context) error) error {
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-g.work.background.Done():
			timer.Stop()
			return context.Cause(g.work.background)
		}
		ctx, cancel := context.WithTimeout(g.work.background, g.storeTimeout)
		err := operation(ctx)
		cancel()
		if err == nil || errors.Is(err, ErrLost) || !time.Now().Before(until) {
			return err
		}
	}
}
