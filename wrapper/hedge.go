package wrapper

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// hedge is what a call knows of its hedge. It belongs to the loop.
type hedge struct {
	callee *hedgedCallee // nil: the call is not hedged
	of     *attempt      // beside which the next attempt begins
	begun  bool
}

// leastHedge is after how long an attempt is looked at again that had no node yet when
// its hedge was due.
const leastHedge = 100 * time.Microsecond

// openHedge finds out whether the call is to be hedged.
func (s *call) openHedge() {
	if s.overrides.hedge.set() && !s.streaming {
		s.hedge.callee = s.client.hedged.of(s.client.hedgeBudget, s.endpoint, s.req.Service())
		s.hedge.callee.budget.Deposit()
		s.endpoint.hedging.calls.Add(1)
	}
}

// closeHedge ends the call among those of its callee.
func (s *call) closeHedge() {
	if s.hedge.callee == nil {
		return
	}
	s.endpoint.hedging.calls.Add(-1)
	if s.hedge.begun {
		s.endpoint.hedging.hedges.Add(-1)
	}
}

// hedgeDelay is how long the attempt about to start goes without an answer before
// it is hedged; 0: it is not.
func (s *call) hedgeDelay() time.Duration {
	if s.hedge.callee == nil || s.hedge.begun || s.running > 0 || s.attemptsLeft() == 1 {
		return 0
	}
	delay := max(s.overrides.hedge.delay(&s.endpoint.latency), 1)
	if delay >= s.left() {
		return 0
	}
	return delay
}

// hedges decides about an attempt that has had the hedge's delay, and tells whether
// the hedge begins. If not, the story says why.
func (s *call) hedges(a *attempt) bool {
	if a.hedgeAt.IsZero() || time.Now().Before(a.hedgeAt) {
		return false
	}
	v := s.view(a)
	if !v.entered { // it waits for a node
		a.hedgeAt = time.Now().Add(max(s.overrides.hedge.delay(&s.endpoint.latency), leastHedge))
		return false
	}
	a.hedgeAt = time.Time{}
	i, shown := s.shown(a)
	if reason := s.refuseHedge(a, &v, &shown); reason != "" {
		s.setReason(i, reason)
		if reason == retryfunc.ReasonHedgeBudget {
			s.tellBudget(true)
		}
		if reason == retryfunc.ReasonHedgeCrowded {
			a.hedgeAt = time.Now().Add(max(s.overrides.hedge.delay(&s.endpoint.latency)/8, time.Millisecond))
		}
		return false
	}
	s.countOnce(a, i, shown, false)
	s.hedge.of, s.hedge.begun = a, true
	s.endpoint.hedging.hedges.Add(1)
	s.enter(i, retryfunc.Decision{
		Service: s.req.Service(), Endpoint: s.req.Endpoint(), Attempt: shown, Retry: true, Reason: retryfunc.ReasonHedged,
		Err: s.outOfShare(),
	})
	return true
}

// refuseHedge says what forbids the hedge; empty: nothing does, and its budget has
// paid.
func (s *call) refuseHedge(a *attempt, v *seen, shown *retryfunc.Attempt) retryfunc.Reason {
	switch {
	case !shown.Safety.Repeatable() && (!shown.KeyTrusted || !s.overrides.hedge.writes):
		return retryfunc.ReasonHedgeUnsafe
	case v.shared:
		return retryfunc.ReasonHedgeShared
	case !shown.Untried:
		return retryfunc.ReasonHedgeNowhere
	case !s.maySpare(a):
		return retryfunc.ReasonHedgeSpared
	case s.hedge.callee.isDeep(time.Now()), s.endpoint.hedging.inVain.isDeep(time.Now()):
		return retryfunc.ReasonHedgeSuspended
	case s.endpoint.hedging.crowded():
		return retryfunc.ReasonHedgeCrowded
	case !s.hedge.callee.budget.Withdraw():
		return retryfunc.ReasonHedgeBudget
	default:
		return ""
	}
}

// resume has the loop wait for the attempt again whose hedge has failed.
func (s *call) resume(a *attempt) {
	if s.latest == nil && !a.done && !a.abandoned {
		s.latest = a
		s.waitOn(a)
	}
}

// cutHedged ends the attempt whose hedge was cut, and which began before it.
func (s *call) cutHedged(a *attempt, err error) {
	if a != nil && !a.done && !a.abandoned {
		s.cut(a, s.view(a).entry, err)
	}
}

// hedgedNowhere ends a hedge that found no instance: the attempt that it was to be
// beside is what counts, and if that has failed meanwhile, what to do about it.
func (s *call) hedgedNowhere(a *attempt) (next, final bool) {
	if s.running > 0 {
		s.setReason(s.view(a).entry, retryfunc.ReasonHedgeNowhere)
		return false, false
	}
	return s.follow(a, s.decide(a))
}

// learnHedge notes what an attempt shows of its callee. The call must be locked.
func (s *call) learnHedge(class retryfunc.Class, err error) {
	if s.hedge.callee == nil {
		return
	}
	s.hedge.callee.learn(class, err)
	if class == retryfunc.None {
		s.endpoint.hedging.inVain.add(-1)
	}
}

// learnRace notes which attempt was outrun: the one that was hedged, or its hedge.
// The call must be locked.
func (s *call) learnRace(e *entry) {
	switch {
	case e.Reason == retryfunc.ReasonHedged:
		s.endpoint.latency.outrun(time.Now(), e.Duration)
	case e.of != nil && e.of.hedgeOf != nil:
		s.endpoint.hedging.inVain.add(troubleOfLost)
	}
}

// hedgedCallees are those of one client, by the names of their services. The
// endpoints, which are bounded, keep them.
type hedgedCallees struct {
	mu    sync.Mutex
	known map[string]*hedgedCallee
}

// of returns what is known of the callee.
func (h *hedgedCallees) of(budget *retryfunc.Budget, e *endpoint, service string) *hedgedCallee {
	if c := e.hedged.Load(); c != nil {
		return c
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.known[service]
	if c == nil {
		c = &hedgedCallee{budget: budget.Of(service)}
		if h.known == nil {
			h.known = make(map[string]*hedgedCallee)
		}
		if len(h.known) < maxEndpoints {
			h.known[service] = c
		}
	}
	e.hedged.Store(c)
	return c
}

// hedgedEndpoint is an endpoint whose calls are hedged. What is slow in one of a
// service's endpoints, as writes that wait for one another, says nothing of the
// others. The zero value is ready. It is safe for concurrent use.
type hedgedEndpoint struct {
	inVain trouble      // of hedges that their first attempts outran
	calls  atomic.Int32 // that run
	hedges atomic.Int32 // of them that were hedged
}

// A few calls may be hedged at a time, whatever else runs, and else one in so many:
// more are slow at the same time only where all instances are.
const (
	fewHedges     = 3
	callsPerHedge = 10
)

// crowded tells whether so many calls are hedged now that others had better wait for
// what becomes of them: callers who all wait for one frozen instance get their turn
// soon, and those who wait for instances that are all slow see it first.
func (e *hedgedEndpoint) crowded() bool {
	return e.hedges.Load() >= max(fewHedges, e.calls.Load()/callsPerHedge)
}

// hedgedCallee is a service whose calls are hedged. It is safe for concurrent use.
type hedgedCallee struct {
	trouble
	budget *retryfunc.Budget
}

// learn notes how an attempt has ended.
func (c *hedgedCallee) learn(class retryfunc.Class, err error) {
	switch class {
	case retryfunc.Timeout, retryfunc.Refused:
		c.add(troubleOfOne)
	case retryfunc.Application, retryfunc.Internal:
		if pushedBack(err) {
			c.add(troubleOfOne)
		} else {
			c.add(-1)
		}
	case retryfunc.None:
		c.add(-1)
	default: // the node's own, or the caller's
	}
}

// pushedBack tells whether a callee asks for less, in oncemore's words or in HTTP's.
func pushedBack(err error) bool {
	if mark, ok := retryfunc.ParseMark(err); ok && (mark.NoRetry || mark.RetryAfter > 0) {
		return true
	}
	switch (wireErrors{}).micro(err).Code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	default:
		return false
	}
}
