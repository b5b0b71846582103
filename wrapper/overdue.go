package wrapper

import (
	"context"
	"time"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// overdue decides about an attempt that has had its share of the call's time, or
// whose dial has, and tells whether the next may begin. Where the user has set an
// attempt timeout, it is cut; otherwise its late answer still counts, and the next
// begins elsewhere only: a service that hangs is not asked again and again, by each
// of its callers' callers.
func (s *call) overdue(a *attempt) (next bool) {
	if s.hedges(a) {
		return true
	}
	cuts := s.overrides.attemptTimeout > 0
	late, due := s.isOverdue(a, cuts)
	if !due {
		return s.waitOn(a)
	}
	i, shown := s.shown(a)
	err := s.outOfShare()
	d, perr := s.explain(shown, err)
	if perr != nil || !d.Retry {
		return s.waitOn(a)
	}
	s.countOnce(a, i, shown, false)
	if s.admit(&d, false); !d.Retry {
		return s.waitOn(a)
	}
	if shown.Class != retryfunc.NotSent { // else it may have a connection since, and is sent in this one's stead
		s.permit(a)
	}
	d.Delay, d.Reason = 0, retryfunc.ReasonOverdue
	if late && cuts {
		d.Reason = retryfunc.ReasonGranted
		s.cut(a, i, err)
		s.cutHedged(a.hedgeOf, err)
	}
	s.enter(i, d)
	return true
}

// isOverdue tells whether the attempt has had its share, and whether it, or its dial,
// is so late that the next may begin.
func (s *call) isOverdue(a *attempt, cuts bool) (late, due bool) {
	v, now := s.view(a), time.Now()
	late = isDue(a.late, now) && (cuts || s.hasOther() && s.maySpare(a))
	dials := (isDue(a.dialEnds, now) || isDue(a.late, now)) && v.dialing.pending() && s.nodes.Untried()
	return late, v.entered && (!v.shared || cuts) && (late || dials)
}

// outOfShare is the error of an attempt that has had its time without an answer.
func (s *call) outOfShare() error { return s.client.transport.timedOut(context.DeadlineExceeded) }

// hasOther tells whether the next attempt would go to an instance that was not
// tried, or to whichever a proxy chooses.
func (s *call) hasOther() bool { return s.nodes.Services() == nil || s.nodes.Untried() }

// waitOn has the loop look at the attempt again when it has had its share, or its
// dial has, if that is to come. No other begins now.
func (s *call) waitOn(a *attempt) (next bool) {
	if due := a.dueAfter(time.Now()); !due.IsZero() {
		a.overdue = false
		a.expired.Store(false)
		s.client.shares.add(a, due)
	}
	return false
}

// cut ends an attempt at the timeout that the user has set.
func (s *call) cut(a *attempt, i int, err error) {
	s.mu.Lock()
	e, class := &s.attempts[i], retryfunc.Timeout
	if e.dials.giveUp() {
		class = retryfunc.NotSent
	}
	a.fail(e, class, err)
	a.abandoned = true
	s.mu.Unlock()
	s.failed = err
	a.stop()
}
