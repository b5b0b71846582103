package wrapper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// judge looks at an attempt that failed, and tells whether the next may begin, or
// the call is over with s.failed for its error.
func (s *call) judge(a *attempt) (next, final bool) {
	v := s.view(a)
	if a.hedgeOf != nil {
		s.resume(a.hedgeOf)
	}
	switch {
	case errors.Is(a.err, ErrPanicked):
		a.departed.again() // unless it is the caller's goroutine that is on its way out
		s.failed = a.err
		return false, true
	case a.abandoned || errors.Is(a.err, errOutrun):
		return false, s.running == 0
	case a.hedgeOf != nil && !v.entered && v.nothingNew:
		return s.hedgedNowhere(a.hedgeOf)
	case v.passedOver || !v.entered && s.ctx.Err() != nil: // there is no attempt to judge
		s.failed = cmp.Or(s.failed, a.err)
		return false, s.settled()
	case !v.entered && (v.nothingNew || s.classify(a.err, s.evidence()) == retryfunc.NoNode):
		return s.lookAgain(a.err)
	}
	s.learnRelease(a.err)
	return s.follow(a, s.decide(a))
}

// follow does what was decided about an attempt that failed.
func (s *call) follow(a *attempt, d retryfunc.Decision) (next, final bool) {
	switch {
	case d.Reason == retryfunc.ReasonRunning:
		return false, false
	case d.Retry:
		s.permit(a)
		return s.pause(d.Delay)
	case d.Attempt.Class == retryfunc.NotSent && d.Reason == retryfunc.ReasonAttempts:
		return s.lookAgain(a.err)
	case d.Attempt.Class == retryfunc.Application:
		s.answer = true
		return false, true
	default:
		return false, s.settled()
	}
}

// decide asks the policy about an attempt that failed, and holds its yes against
// the limits. Where another attempt may yet be answered, a failure begins nothing;
// only an answer ends the call.
func (s *call) decide(a *attempt) retryfunc.Decision {
	s.failed = a.err
	i, shown := s.shown(a)
	if shown.Class == retryfunc.NotSent || shown.Class == retryfunc.Refused {
		s.permit(a) // nothing ran
	}
	d, perr := s.explain(shown, a.err)
	if perr != nil {
		s.failed, d.Retry = perr, false
	}
	answered := shown.Class == retryfunc.Application && !d.Retry
	switch {
	case !answered && s.mayBeAnswered():
		s.countOnce(a, i, shown, !s.view(a).dialTimedOut)
		d.Retry, d.Reason, d.Delay = false, retryfunc.ReasonRunning, 0
	case d.Retry:
		s.admit(&d, s.countOnce(a, i, shown, !s.view(a).dialTimedOut))
	}
	s.enter(i, d)
	return d
}

// shown is an attempt as policies see it, and its place in the story. Where it
// never reached a node, or where another wrapper turned its reply into an error,
// the error itself has to say what happened; where it has not ended, it has
// outlasted its share.
func (s *call) shown(a *attempt) (int, retryfunc.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.entered {
		a.entered, a.entry = true, len(s.attempts)
		s.attempts = append(s.attempts, entry{Attempt: Attempt{Number: len(s.attempts) + 1, Began: s.began}, ended: true})
	}
	e := &s.attempts[a.entry]
	shown := retryfunc.Attempt{
		Class: e.Class, Number: e.Number, Address: e.Address, Duration: e.Duration,
		Safety: s.traits.safety, KeyTrusted: s.traits.trusted, Untried: s.nodes.Untried(),
		RetryAfter: e.after, NoRetry: e.noRetry,
	}
	switch {
	case !a.done:
		shown.Class, shown.Duration = retryfunc.Timeout, time.Since(e.Began)
		if a.dialing.pending() {
			shown.Class = retryfunc.NotSent
		}
	case !e.ended: // it was not waited for
		a.leave(e)
		shown.Class, shown.Duration = e.Class, e.Duration
	case e.Class == retryfunc.None:
		ev := s.evidence()
		ev.Answered = e.Address != "" // if it did not fail, as its class tells
		e.Class = s.classify(a.err, ev)
		shown.Class = e.Class
	}
	if !mayHaveRun(shown.Class) {
		shown.Class = s.classOfOthers(a, shown.Class)
	}
	return a.entry, shown
}

// leave ends an exchange in the story that runs on: go-micro returned when the
// context ended, or a wrapper inside ours gave it up. That wrapper's error, and its
// patience, say nothing of a peer that has not answered. The call must be locked.
func (a *attempt) leave(e *entry) {
	s := a.call
	ev := s.evidence()
	a.err = a.dialing.testify(&ev, a.err, false)
	switch class := s.classify(a.err, ev); class {
	case retryfunc.NotSent, retryfunc.Broken, retryfunc.Timeout, retryfunc.Canceled:
		a.fail(e, class, a.err)
	default:
		e.end(retryfunc.Timeout)
		s.report(e, breaker.Outrun)
	}
}

// classOfOthers is class, unless a wrapper inside ours has sent the request before
// within the same attempt, so that it may have run. The call must be locked.
func (s *call) classOfOthers(a *attempt, class retryfunc.Class) retryfunc.Class {
	for i := range s.attempts {
		e := &s.attempts[i]
		switch {
		case e.of != a || i == a.entry || e.ended && e.Class != retryfunc.None && !mayHaveRun(e.Class):
		case !e.ended:
			return retryfunc.Timeout
		case e.Class == retryfunc.None && a.err == nil:
			return retryfunc.Timeout // it calls yet
		case e.Class == retryfunc.None:
			ev := s.evidence()
			ev.Answered = true
			return s.classify(a.err, ev)
		default:
			return e.Class
		}
	}
	return class
}

// mayHaveRun tells whether the handler may have been executed by an attempt that
// failed so.
func mayHaveRun(class retryfunc.Class) bool {
	return class != retryfunc.NotSent && class != retryfunc.Refused && class != retryfunc.NoNode
}

// explain asks the policy about an attempt that failed with err, or is overdue.
func (s *call) explain(shown retryfunc.Attempt, err error) (retryfunc.Decision, error) {
	policy := s.overrides.policy
	if s.overrides.retry != nil {
		policy = s.overrides.retry
	}
	if policy == nil {
		return retryfunc.Explain(retryfunc.WithAttempt(s.ctx, &shown), retryfunc.Careful, s.req, s.count, err)
	}
	type said struct {
		retryfunc.Decision
		err error
	}
	ctx, req, count, copied := s.ctx, s.req, s.count, shown
	answer, overrun := ask(s, func() said {
		d, perr := retryfunc.Explain(retryfunc.WithAttempt(ctx, &copied), policy, req, count, err)
		return said{d, perr}
	})
	if overrun != nil {
		return s.undecided(shown, err, overrun), nil
	}
	return answer.Decision, answer.err
}

// undecided is the decision where the policy was not waited for.
func (s *call) undecided(shown retryfunc.Attempt, err, why error) retryfunc.Decision {
	d := retryfunc.Decision{Service: s.req.Service(), Endpoint: s.req.Endpoint(), Attempt: shown, Err: err}
	switch {
	case errors.Is(why, errAnswered):
		d.Reason = retryfunc.ReasonRunning
	case errors.Is(why, context.Canceled):
		d.Reason = retryfunc.ReasonCanceled
	default:
		d.Reason = retryfunc.ReasonDeadline
	}
	return d
}

// enter writes a decision into the story, and tells the observers.
func (s *call) enter(i int, d retryfunc.Decision) {
	s.setReason(i, d.Reason)
	s.tellDecided(d)
}

func (s *call) setReason(i int, reason retryfunc.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	if e.Reason == retryfunc.ReasonHedged && reason == retryfunc.ReasonRunning {
		return // it is its hedge that runs
	}
	e.Reason = reason
}

// markCounted notes that an attempt was counted, and tells whether it was before,
// and whether it went where another had been.
func (s *call) markCounted(i int) (before, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	before, e.counted = e.counted, true
	return before, e.again
}

// learnRelease keeps what the refusal of a late attempt tells, for the next one to
// say that it knows.
func (s *call) learnRelease(err error) {
	mark, ok := retryfunc.ParseMark(err)
	if !ok || mark.Service != s.req.Service() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if mark.Released.After(s.released) {
		s.released = mark.Released
	}
}

// pause waits before the next attempt, unless one that runs beside the loop is
// answered first.
func (s *call) pause(d time.Duration) (next, final bool) {
	s.count++
	if err := s.pauseErr; err != nil {
		s.failed = merrors.InternalServerError("go.micro.client", "backoff error: %v", err)
		return false, true
	}
	if d <= 0 {
		return true, false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true, false
		case <-s.wake:
			if s.answered() {
				return false, false
			}
		case <-s.ctx.Done():
			s.failed = s.outOfTime()
			return false, true
		}
	}
}

// answered tells whether an attempt beside the loop has ended well.
func (s *call) answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.ended, func(a *attempt) bool { return a.err == nil })
}

// lookAgain asks the registry once more where nothing was sent and there is
// nowhere else to go: an instance may be moving. It dials nobody twice, and goes
// on for as long as the call can spare where an instance was ever seen.
func (s *call) lookAgain(err error) (next, final bool) {
	now := time.Now()
	if s.until.IsZero() {
		s.until, s.look = now.Add(s.absence()), firstLook
	}
	if s.failed == nil {
		s.failed = err
	}
	if len(s.overrides.Address) > 0 || !now.Before(s.until) {
		s.enterAbsence(err)
		return false, s.running == 0
	}
	wait := min(s.look, s.until.Sub(now))
	s.look = min(2*s.look, lastLook)
	return s.pause(wait)
}
