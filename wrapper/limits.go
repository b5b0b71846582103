package wrapper

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

const (
	// leastShare is the least time that an attempt has before another is begun
	// beside it. It is longer where nothing is known of the endpoint, and for a
	// call made within another: shares of shares would leave nothing to the last
	// of a chain.
	leastShare        = 10 * time.Millisecond
	leastUnknownShare = 100 * time.Millisecond

	// A dial may take a third of what the call has left, within these bounds, until
	// another begins beside it. The upper one leaves time for one lost SYN, which
	// Linux sends again after a second.
	leastDial = 250 * time.Millisecond
	mostDial  = 1500 * time.Millisecond

	// slowDialMemory is how long no dial is given up where that was in vain.
	slowDialMemory = 10 * time.Second

	// freeDials bounds the refused dials that are not counted.
	freeDials = 32

	// untold is how long an attempt must have gone without an answer to speak
	// against its node where nothing is known of the endpoint.
	untold = time.Second

	// A call that was sent nowhere waits so long for an instance to appear, if
	// any was ever seen, and not at all where another has waited in vain just
	// before.
	longestAbsence = 2 * time.Second
	absenceMemory  = time.Second
	firstLook      = 25 * time.Millisecond
	lastLook       = 200 * time.Millisecond
)

// limits count what a call has used up. They belong to the loop.
type limits struct {
	counted int // attempts that were sent, or may have been
	unsent  int // refused dials that were not free, and dials that took too long
	free    int
}

// left is how long the call has, from now on.
func (s *call) left() time.Duration { return leftOf(s.ctx, s.overrides.RequestTimeout) }

// leftOf is how long a context has; one without a deadline, which another wrapper
// may have taken away, has the time of a whole call.
func leftOf(ctx context.Context, whole time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return min(cmp.Or(whole, client.DefaultRequestTimeout), longest)
	}
	return min(max(time.Until(deadline), 1), longest) // 0 would mean that there is no limit
}

// attemptTime is how long an attempt may take of what is left: all of it, unless
// it will be cut.
func (s *call) attemptTime(left time.Duration) time.Duration {
	cut := s.overrides.attemptTimeout
	if cut == 0 || s.overrides.policy != nil || s.overrides.retry != nil {
		return left
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.traits.repeatable() {
		return left
	}
	return min(cut, left)
}

// attemptsLeft counts the attempt about to start: it is at least 1.
func (s *call) attemptsLeft() int { return max(1, s.overrides.attempts-s.limits.counted) }

// share is how long the attempt about to start has for itself, before another is
// begun beside it; 0: for good. A share is at least what the endpoint has needed
// of late, so that nothing is begun beside an attempt that is merely slow.
func (s *call) share() time.Duration {
	if s.attemptsLeft() == 1 || s.streaming {
		return 0
	}
	if s.overrides.policy == nil && s.overrides.retry == nil && s.endpoint.known.Load() && !s.guess.repeatable() {
		return 0 // as retryfunc.Careful would say
	}
	return s.part()
}

// part is the share of the attempt that has begun, or is about to: its timeout, or a
// part of what the call has left; 0: it may have all of that.
func (s *call) part() time.Duration {
	left := s.left()
	share := s.overrides.attemptTimeout
	if share == 0 {
		share = s.atLeast(left / time.Duration(s.attemptsLeft()))
	}
	if share >= left {
		return 0
	}
	return share
}

// atLeast raises a share to the least, and to what the endpoint has needed.
func (s *call) atLeast(share time.Duration) time.Duration {
	needed := s.endpoint.latency.usual()
	least := leastShare
	if share < leastUnknownShare {
		_, within := idempotency.ExecutionFrom(s.ctx)
		if needed == 0 || within || isNested(s.ctx) {
			least = leastUnknownShare
		}
	}
	return max(share, needed, least)
}

// isNested tells whether a call is made within a handler of go-micro's servers:
// both leave word of who called.
func isNested(ctx context.Context) bool {
	_, remote := lookUp(metadataIn(ctx), "Remote")
	return remote
}

// dialWait is how long the attempt about to start may dial before another is begun
// beside it; 0: for good. Whoever is connected first sends, so that hosts which
// all take long to dial are reached as by the bare client.
func (s *call) dialWait() time.Duration {
	over := s.client.transport
	if seen := over == overGRPC || !s.streaming && (over == overMucp || over == overHTTP); !seen || s.overrides.attempts == 1 {
		return 0
	}
	left := s.left()
	wait := min(max(left/3, leastDial), mostDial, left/2)
	if wait >= left {
		return 0
	}
	return wait
}

// dialLimit is how long a dial may last: its share where it is not watched, and so
// cannot go on beside another.
func (s *call) dialLimit(left time.Duration, watched bool) time.Duration {
	if watched {
		return left
	}
	return s.cutShare(left, s.nodes.Elsewhere())
}

// cutShare is after how long a dial is given up that cannot go on beside another:
// half of what the call has left, and all of it where there is nowhere else to go.
// Where that was in vain of late, since all hosts take long to connect to, none is
// given up.
func (s *call) cutShare(left time.Duration, elsewhere bool) time.Duration {
	if !elsewhere || s.endpoint.dialsSlowly(time.Now()) {
		return left
	}
	return min(max(left/2, 1), mostDial)
}

// learnDials remembers that dials were given up in vain, for as long as answers go
// on to take as long. The call must be locked.
func (s *call) learnDials(err error) {
	timedOut, slow := false, false
	for _, e := range s.attempts {
		if err != nil && e.Class != retryfunc.NotSent {
			return
		}
		timedOut = timedOut || e.unreached
		slow = slow || e.Class == retryfunc.None && e.Duration > leastDial
	}
	now := time.Now()
	if err != nil && timedOut || slow && s.endpoint.dialsSlowly(now) {
		s.endpoint.slowDial.Store(now.UnixNano())
	}
}

// countOnce enters a failed attempt, or one that is overdue, once. It tells whether
// the retry would be free.
func (s *call) countOnce(a *attempt, i int, shown retryfunc.Attempt, refused bool) (free bool) {
	sent := shown.Class != retryfunc.NotSent
	counted, again := s.markCounted(i)
	if !counted {
		a.unsent = !sent
		return s.countAttempt(shown, again, refused)
	}
	if a.unsent && sent { // it had a connection after all
		a.unsent = false
		s.limits.unsent--
		s.limits.counted++
	}
	return false
}

// countAttempt enters a failed attempt, and tells whether the retry would be free.
//
// A refused dial is free where it is this call's first to that node and another
// node is left, up to a bound: so a call finds the one living instance among many
// dead ones. Other dials that came to nothing have a count of their own, and
// leave the attempts that are sent to the living.
func (s *call) countAttempt(a retryfunc.Attempt, again, refused bool) (free bool) {
	switch {
	case a.Class != retryfunc.NotSent:
		s.limits.counted++
	case !refused || again || s.limits.free >= freeDials || !s.nodes.Elsewhere():
		s.limits.unsent++
	default:
		s.limits.free++
		return true
	}
	return false
}

// admit holds the policy's yes against the limits. The pause is asked for only
// where the retry may yet be made, because the caller's own may wait itself.
func (s *call) admit(d *retryfunc.Decision, free bool) {
	l := retryfunc.Limits{Made: max(s.limits.counted, s.limits.unsent), Most: s.overrides.attempts, Free: free}
	if free {
		l.Most = 0
	}
	refused := l.Refuse(s.ctx)
	if refused == "" && s.isHopeless(d) {
		refused = retryfunc.ReasonFailing
	}
	if refused == "" {
		l.Wait, refused = s.pauseBefore(d)
	}
	if refused == "" {
		l.Budget = s.budget
		refused = l.Refuse(s.ctx)
	}
	if refused != "" {
		d.Retry, d.Reason, d.Delay = false, refused, 0
		return
	}
	d.Delay = l.Wait
}

// isHopeless tells whether the next attempt would fail as this one has, and all others
// have of late. A policy of the user's knows better.
func (s *call) isHopeless(d *retryfunc.Decision) bool {
	own := s.overrides.policy != nil || s.overrides.retry != nil
	return !own && isFailure(d.Attempt.Class, d.Err) && s.failsEverywhere()
}

// pauseBefore is how long to wait before the next attempt. An untried node need
// not be waited for: nothing says that it is in trouble.
func (s *call) pauseBefore(d *retryfunc.Decision) (time.Duration, retryfunc.Reason) {
	pause, err := time.Duration(0), error(nil)
	switch {
	case s.overrides.pause != nil:
		pause, err = s.askPause(s.count + 1)
	case !d.Attempt.Untried:
		pause = s.overrides.backoff.Delay(max(1, s.limits.counted+s.limits.unsent))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, retryfunc.ReasonDeadline
	case errors.Is(err, errAnswered):
		return 0, retryfunc.ReasonRunning
	}
	s.pauseErr = err
	return max(s.clampWish(d.Delay), pause), ""
}

// askPause asks the backoff that the caller gave for this call.
func (s *call) askPause(count int) (time.Duration, error) {
	type said struct {
		pause time.Duration
		err   error
	}
	backoff, ctx, req := s.overrides.pause, s.ctx, s.req
	answer, err := ask(s, func() said {
		pause, err := backoff(ctx, req, count)
		return said{pause, err}
	})
	return answer.pause, cmp.Or(err, answer.err)
}

// absence is how long the call may wait for an instance it has not tried, where
// there ever was one.
func (s *call) absence() time.Duration {
	if !s.endpoint.seen.Load() || s.endpoint.absentFor(time.Now(), absenceMemory) {
		return 0
	}
	return min(s.left()/2, longestAbsence)
}
