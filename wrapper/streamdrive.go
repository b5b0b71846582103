package wrapper

import (
	"context"
	"slices"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// takeFirst returns the candidate to which the stream was handed over, and its first
// message; nil: that was taken.
func (r *retriedStream) takeFirst() (c *candidate, first *firstMessage, err error) {
	defer r.reportNodes()
	r.receiveOnAll()
	derr := r.drive(func() bool {
		if c = r.chosen; c == nil {
			return false
		}
		r.noteFirst(c)
		first, c.first, err = c.first, nil, c.err
		return c.answered || err != nil
	})
	if derr != nil {
		return nil, nil, derr
	}
	if err != nil && !c.answered {
		err = r.whyEnded(c.watch(err))
	}
	return c, first, err
}

// receiveOnAll has the first message received from every candidate.
func (r *retriedStream) receiveOnAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.receives {
		return // as do those that come later
	}
	r.receives = true
	for _, c := range r.candidates {
		c.startReceiving()
	}
}

// noteFirst notes what the first message shows of its node and of its endpoint. The
// stream must be locked.
func (r *retriedStream) noteFirst(c *candidate) {
	if !c.answered || c.noted {
		return
	}
	c.noted = true
	now := time.Now()
	r.outcomes = append(r.outcomes, outcome{c.opened.Address, breaker.Success, c.opened.Began, now.Sub(c.opened.Began)})
	if !c.since.IsZero() {
		r.opening.endpoint.latency.observe(now, now.Sub(c.since), false)
	}
}

// drive waits until done, which is asked under the lock, and meanwhile opens the
// stream elsewhere where that is called for.
func (r *retriedStream) drive(done func() bool) error {
	if now := r.step(done); now.over { // as after the first message it always is
		return now.err
	}
	defer r.reportNodes()
	r.wait(+1)
	defer r.wait(-1)
	for {
		switch next := r.step(done); {
		case next.over:
			return next.err
		case next.reopen != nil:
			r.reopen(next.reopen)
		default:
			next.await(r.ctx)
		}
	}
}

// await waits until there may be something else to do.
func (s step) await(ctx context.Context) {
	late := time.NewTimer(s.wait)
	defer late.Stop()
	select {
	case <-s.changed:
	case <-late.C:
	case <-ctx.Done():
	}
}

// wait notes that a call of Send or Recv waits, or does so no longer. A candidate
// that nobody waits for is not late.
func (r *retriedStream) wait(calls int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting += calls
	for _, c := range r.candidates {
		switch {
		case c.overdue:
		case r.waiting > 0:
			c.waitSince(time.Now(), r.opening.streamShare())
		default:
			c.since, c.late = time.Time{}, time.Time{}
		}
	}
}

// step is what is to be done next by whoever waits.
type step struct {
	over    bool // the wait is, with err
	err     error
	reopen  *candidate // in whose stead, or beside which, the stream is opened
	wait    time.Duration
	changed <-chan struct{}
}

func (r *retriedStream) step(done func() bool) step {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return step{over: true, err: r.wire.errClosed()}
	case done():
		return step{over: true}
	case r.err != nil:
		return step{over: true, err: r.err}
	case r.ctx.Err() != nil:
		return step{over: true, err: r.wire.ended(r.ctx.Err())}
	}
	if r.chosen == nil && !r.reopening && r.waiting > 0 {
		if c := r.troubled(); c != nil {
			r.reopening = true
			return step{reopen: c}
		}
	}
	if r.chosen != nil && done() { // it was chosen just now
		return step{over: true}
	}
	return step{wait: r.untilLate(), changed: r.changes()}
}

// troubled is the candidate that has failed, or has had its share, where no other is
// to be waited for. One that has failed beside others that are is given up. The stream
// must be locked.
func (r *retriedStream) troubled() *candidate {
	for _, c := range slices.Clone(r.candidates) {
		switch {
		case c.err == nil:
		case r.isAnswer(c):
			r.choose(c)
			return nil
		case r.awaitsOther(c):
			r.giveUp(c)
		default:
			return c
		}
	}
	latest := r.latestCandidate()
	if latest.lives() && !latest.overdue && !latest.late.IsZero() && !time.Now().Before(latest.late) {
		latest.overdue = true
		return latest
	}
	return nil
}

// awaitsOther tells whether another candidate has not had its share yet. The stream
// must be locked.
func (r *retriedStream) awaitsOther(c *candidate) bool {
	return slices.ContainsFunc(r.candidates, func(other *candidate) bool {
		return other != c && other.lives() && !other.overdue
	})
}

func (r *retriedStream) latestCandidate() *candidate { return r.candidates[len(r.candidates)-1] }

// untilLate is how long the latest candidate has yet. The stream must be locked.
func (r *retriedStream) untilLate() time.Duration {
	latest := r.latestCandidate()
	if r.chosen != nil || r.reopening || latest.overdue || latest.late.IsZero() {
		return longest
	}
	return max(0, time.Until(latest.late))
}

// choose hands the stream over to a candidate. The stream must be locked.
func (r *retriedStream) choose(c *candidate) {
	r.chosen = c
	if r.stop != nil {
		r.stop()
	}
	for _, other := range r.candidates {
		if other != c {
			r.noteOutrun(other)
			other.drop()
		}
	}
	r.candidates = []*candidate{c}
	r.signal()
}

// chooseAny hands the stream over to the latest candidate. The stream must be locked.
func (r *retriedStream) chooseAny() {
	if r.chosen == nil && !r.reopening {
		r.choose(r.latestCandidate())
	}
}

// giveUp does without a candidate that has failed. The stream must be locked.
func (r *retriedStream) giveUp(c *candidate) {
	r.remove(c)
	class, err := r.opening.classOf(c.watchedStream, c.err)
	r.noteOutcome(c, eventOf(class, err, false))
}

// remove drops a candidate that is not the only one. The stream must be locked.
func (r *retriedStream) remove(c *candidate) {
	r.candidates = slices.DeleteFunc(slices.Clone(r.candidates), func(other *candidate) bool { return other == c })
	c.drop()
}

// noteOutrun notes what it shows of a candidate's node that another answered first.
// The stream must be locked.
func (r *retriedStream) noteOutrun(c *candidate) {
	if !c.since.IsZero() && c.lives() {
		r.noteOutcome(c, breaker.Outrun)
	}
}

// noteOutcome notes what a candidate shows of its node. The stream must be locked.
func (r *retriedStream) noteOutcome(c *candidate, event breaker.Event) {
	e := entry{Attempt: c.opened.Attempt}
	e.Began = c.since
	e.Duration = time.Since(c.since)
	if !r.opening.impatient(&e, event) {
		r.outcomes = append(r.outcomes, outcome{e.Address, event, c.opened.Began, e.Duration})
	}
}

// isAnswer tells whether a candidate has ended with what its handler answered. The
// stream must be locked.
func (r *retriedStream) isAnswer(c *candidate) bool {
	if len(r.candidates) == 1 {
		return false // for the policy to judge
	}
	class, _ := r.opening.classOf(c.watchedStream, c.err)
	return class == retryfunc.Application
}

// reportNodes hands on what candidates have shown.
func (r *retriedStream) reportNodes() {
	r.mu.Lock()
	outcomes := r.outcomes // whoever adds to them has another slice
	r.outcomes = nil
	r.mu.Unlock()
	r.client.reportOutcomes(outcomes)
}
