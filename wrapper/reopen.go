package wrapper

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// reopen opens the stream on another instance: in the stead of a candidate that has
// failed, or beside one that has had its share.
func (r *retriedStream) reopen(c *candidate) {
	ctx, cancel := context.WithCancel(r.ctx)
	r.mu.Lock()
	opening, failure := r.opening, c.err
	r.stop = cancel
	r.mu.Unlock()
	next := opening.again(ctx, r.request)
	made := reopening{call: next, cancel: cancel, err: ErrPanicked} // unless it comes to more
	defer func() { r.reopened(c, made) }()
	made.opened, made.refused, made.err = next.openAfter(c.watchedStream, failure)
}

// reopening is how the opening of a stream ended.
type reopening struct {
	call    *call
	cancel  context.CancelFunc
	opened  *watchedStream
	refused bool // it was not tried, and another goes on
	err     error
}

// reopened takes the stream that was opened in the stead of a candidate, or beside it.
func (r *retriedStream) reopened(c *candidate, made reopening) {
	if made.opened == nil {
		made.cancel()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.signal()
	r.reopening, r.stop = false, nil
	if !made.refused {
		r.opening = made.call
	}
	if made.opened != nil {
		r.take(&candidate{watchedStream: made.opened, of: r, cancel: made.cancel})
	}
	if c.err != nil || made.call.wasCut(c.entry) {
		r.replace(c, made.err)
	}
	if r.handOver && r.err == nil {
		r.chooseAny()
	}
}

// replace does without a candidate that has failed: another was opened in its stead,
// or is there yet; else the stream has ended with it. The stream must be locked.
func (r *retriedStream) replace(c *candidate, err error) {
	switch {
	case slices.ContainsFunc(r.candidates, func(other *candidate) bool { return other != c && other.lives() }):
		r.remove(c)
	case r.chosen == nil && !r.closed && r.ctx.Err() == nil:
		r.err = cmp.Or(err, c.err, r.wire.ended(context.DeadlineExceeded))
	}
}

// take makes an open stream a candidate, if it is not too late. The stream must be
// locked.
func (r *retriedStream) take(c *candidate) {
	if r.closed || r.chosen != nil || r.ctx.Err() != nil || c.wire.over != r.wire.over {
		c.drop()
		return
	}
	r.latest = c
	r.candidates = append(slices.Clip(r.candidates), c)
	r.sendOnAll()
	if r.receives {
		c.startReceiving()
	}
	if r.waiting > 0 {
		c.waitSince(time.Now(), r.opening.streamShare())
	}
}

// again is the call that opens the stream of s once more. It goes on where s has
// ended: with its story, its limits and the instances it has tried. What the caller
// asked to be told when the first opening ended is told no more.
func (s *call) again(ctx context.Context, req client.Request) *call {
	n := &call{
		client: s.client, ctx: context.WithValue(ctx, reportKey{}, (*Report)(nil)), req: req,
		options: s.options, overrides: s.overrides, endpoint: s.endpoint, budget: s.budget,
		streaming: true, began: s.began, ruled: s.ruled, guess: s.guess, limits: s.limits, count: s.count,
	}
	n.overrides.report = nil
	n.nodes.Init(s.client.balancer, false)
	n.nodes.Consider(s.nodes.Services())
	s.mu.Lock()
	defer s.mu.Unlock()
	n.sends, n.traits, n.released = 1, s.traits, s.released
	n.attempts = append(n.room[:0], s.attempts...)
	n.inherited = len(n.attempts)
	for _, e := range n.attempts {
		if e.Address != "" {
			n.nodes.MarkTried(e.Address)
		}
	}
	return n
}

// openAfter opens a stream after one that has failed before its first message, or,
// where there is no failure, beside one that has had its share: refused tells that
// this is not to be.
func (s *call) openAfter(w *watchedStream, failure error) (opened *watchedStream, refused bool, err error) {
	defer s.close()
	a := s.attemptOf(w)
	if failure == nil {
		a.late = time.Now()
		if !s.overdue(a) {
			s.over, s.concluded = true, true // it was never begun
			return nil, true, nil
		}
	} else {
		s.enterFailure(a, failure)
		if next, _ := s.judge(a); !next {
			return nil, false, s.end(cmp.Or(s.failed, failure))
		}
	}
	if err = s.end(s.loop(true)); err != nil {
		return nil, false, err
	}
	return s.opened(), false, nil
}

// attemptOf is the attempt that has opened w, in the story of s.
func (s *call) attemptOf(w *watchedStream) *attempt {
	a := &attempt{call: s}
	a.entered, a.entry, a.picked = true, w.entry, w.opened.Address
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[w.entry].of = a
	a.dialing = s.attempts[w.entry].dials
	return a
}

// enterFailure enters how a stream failed that the attempt has opened.
func (s *call) enterFailure(a *attempt, failure error) {
	class, err := s.classOfStream(s.dialsOf(a.entry), failure, true)
	a.done, a.err = true, err
	s.mu.Lock()
	defer s.mu.Unlock()
	a.fail(&s.attempts[a.entry], class, err)
}

func (s *call) dialsOf(entry int) *dialing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts[entry].dials
}

// classOf is how an open stream ended, and its error.
func (s *call) classOf(w *watchedStream, err error) (retryfunc.Class, error) {
	return s.classOfStream(s.dialsOf(w.entry), err, true)
}

// classOfStream is classOf for a stream that was opened, or was not.
func (s *call) classOfStream(d *dialing, err error, opened bool) (retryfunc.Class, error) {
	ev := s.evidence()
	err = d.testify(&ev, err, opened)
	return s.classify(err, ev), err
}

// wasCut tells whether an attempt was cut at its timeout.
func (s *call) wasCut(entry int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.attempts[entry].of
	return of != nil && of.call == s && of.abandoned
}

// streamShare is how long the stream that is open may let its caller wait for the first
// message, before another is opened beside it; 0: for good.
func (s *call) streamShare() time.Duration {
	if _, bounded := s.ctx.Deadline(); s.attemptsLeft() == 1 || !bounded && s.overrides.attemptTimeout == 0 {
		return 0
	}
	return s.part()
}
