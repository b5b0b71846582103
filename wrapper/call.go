package wrapper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// call is one logical call. The loop, and all that is not said to be shared,
// belongs to the goroutine of the caller.
type call struct {
	client    *retryClient
	ctx       context.Context //nolint:containedctx // the call's own, for as long as it runs
	cancel    context.CancelFunc
	req       client.Request
	rsp       any
	options   []client.CallOption
	overrides callOverrides
	endpoint  *endpoint
	budget    *retryfunc.Budget
	streaming bool
	began     time.Time

	ruled retryfunc.Safety // what the user's rule says
	guess callTraits       // before the registry was asked

	limits   limits
	count    int           // decisions for another attempt
	pauseErr error         // of the backoff of this call
	look     time.Duration // of the search for another instance
	until    time.Time     // when it is given up

	first   attempt
	running int           // attempts that run beside the loop
	latest  *attempt      // the one begun last, while it runs
	wake    chan struct{} // an attempt has ended
	failed  error         // of the last attempt that failed

	concluded bool // the call has its end

	nodes selectorx.Call // shared; it has a lock of its own
	shared
}

// shared is what the attempts of one call share with each other and the loop. An
// attempt may outlive the call: go-micro returns when a context ends, and never
// waits.
type shared struct {
	mu         sync.Mutex
	over       bool // no attempt may be sent any more, and no reply delivered
	traits     callTraits
	attempts   []entry // the story
	room       [DefaultAttempts]entry
	outcomes   []outcome // to be reported to the breaker
	oneOutcome [1]outcome
	replied    *attempt   // whose reply is in the caller's response
	ended      []*attempt // attempts that ended and were not looked at
	endedRoom  [1]*attempt
}

// open reads what the caller asked for, and gives the call its end.
func (s *call) open(ctx context.Context, opts []client.CallOption) (err error) {
	s.began, s.ctx = time.Now(), ctx
	s.attempts = s.room[:0]
	if s.client.twice {
		return asOwn(ErrWrappedTwice)
	}
	s.options = opts
	if err = s.overrides.read(s.client, opts); err != nil {
		return asOwn(err)
	}
	if _, ok := ctx.Deadline(); !ok && !s.streaming {
		s.ctx, s.cancel = context.WithTimeout(ctx, s.overrides.RequestTimeout)
	}
	s.endpoint = s.client.endpoints.of(s.req)
	s.budget = s.client.budget.Of(s.req.Service())
	s.budget.Deposit()
	s.nodes.Init(s.client.balancer, false)
	if err = s.guessTraits(); err != nil {
		return s.unsendable(err)
	}
	if s.overrides.pause != nil {
		return s.initialPause()
	}
	return nil
}

// unsendable is the error of a call that has no valid key, or whose caller's
// functions took all of its time.
func (s *call) unsendable(err error) error {
	if s.ctx.Err() != nil {
		return s.outOfTime()
	}
	return asOwn(err)
}

// initialPause honours a backoff that the caller gave for this call: it may want
// a delay before the first attempt.
func (s *call) initialPause() error {
	pause, err := s.askPause(0)
	if err == nil {
		err = retryfunc.Wait(s.ctx, pause)
	}
	if errors.Is(err, context.DeadlineExceeded) || s.ctx.Err() != nil {
		return s.client.transport.timedOut(cmp.Or(s.ctx.Err(), err))
	}
	if err != nil {
		return merrors.InternalServerError("go.micro.client", "backoff error: %v", err)
	}
	return nil
}

// loop makes attempts until one is answered, or no other may be made: pick a
// node, make one attempt, classify, decide, wait. An attempt that has had its
// share of the call's time goes on while the next is made beside it, and the
// first answer counts.
func (s *call) loop() error {
	for next := true; ; {
		s.reportNodes()
		if next {
			s.begin()
		}
		switch a := s.await(); {
		case a == nil:
			return s.outOfTime()
		case !a.done:
			next = s.overdue(a)
		case a.err == nil:
			s.accept(a)
			return nil
		case errors.Is(a.err, errKeyNeeded):
			if err := s.takeKey(); err != nil {
				return s.unsendable(err)
			}
			next = true
		default:
			var final bool
			if next, final = s.judge(a); final {
				return s.failed
			}
		}
	}
}

// begin makes the next attempt. It is made by the caller's goroutine where
// nothing can happen beside it.
func (s *call) begin() {
	a := &s.first
	if a.call != nil {
		a = new(attempt)
	}
	a.call, a.onlyNew, a.last = s, !s.until.IsZero(), s.attemptsLeft() == 1
	s.latest = a
	a.rsp = s.rsp
	share := s.share()
	if share == 0 && s.running == 0 {
		a.err, a.done = a.send(s.ctx), true
		return
	}
	s.runBeside(a, share)
}

// runBeside makes an attempt beside the loop. Its share begins with it.
func (s *call) runBeside(a *attempt, share time.Duration) {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	if share > 0 {
		s.client.shares.add(a, time.Now().Add(share))
	}
	ctx := s.ctx
	if s.overrides.attemptTimeout > 0 || s.running > 0 {
		ctx, a.cancel = context.WithCancel(s.ctx) //nolint:gosec // called by cut or close
	}
	s.running++
	if isolable(s.rsp) {
		a.rsp = cmp.Or(another(s.rsp), s.rsp)
	}
	go a.sendBeside(ctx)
}

// accept gives the caller the answer of an attempt. One that ran beside the loop
// had a response of its own: wrappers inside of ours may write to it and read it
// for as long as they like.
func (s *call) accept(a *attempt) {
	if isolable(s.rsp) && isolable(a.rsp) {
		move(s.rsp, a.rsp)
	}
}

// await returns the next attempt that ended, the latest one if it has had its
// share (it is then not done), or nil when the call's time is over.
func (s *call) await() *attempt {
	if a := s.latest; a != nil && a.done {
		s.latest = nil
		return a
	}
	for {
		if a := s.takeEnded(); a != nil {
			return a
		}
		if a := s.latest; a != nil && !a.overdue && a.expired.Load() {
			a.overdue = true
			return a
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return s.takeEnded()
		}
	}
}

func (s *call) takeEnded() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ended) == 0 {
		return nil
	}
	a := s.ended[0]
	s.ended = slices.Delete(s.ended, 0, 1)
	s.running--
	a.done = true
	if s.latest == a {
		s.latest = nil
	}
	return a
}

// rouse wakes the loop, to look at what has changed.
func (s *call) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// outOfTime is the error of a call whose caller's time ended, or who left.
func (s *call) outOfTime() error { return s.client.transport.timedOut(s.ctx.Err()) }

// overdue decides about an attempt that has had its share of the call's time, and
// tells whether the next may begin. Where the user has set an attempt timeout, it
// is cut; otherwise its late answer still counts.
func (s *call) overdue(a *attempt) (next bool) {
	if v := s.view(a); !v.entered || v.shared {
		return false // it looks for a node yet, or two of them would write to one response
	}
	i, shown := s.shown(a)
	err := s.client.transport.timedOut(context.DeadlineExceeded)
	d, perr := s.explain(shown, err)
	if perr != nil || !d.Retry {
		return false
	}
	s.countAttempt(shown, false, false)
	if s.admit(&d, false); !d.Retry {
		return false
	}
	s.markJudged(i)
	d.Delay, d.Reason = 0, retryfunc.ReasonOverdue
	if s.overrides.attemptTimeout > 0 {
		d.Reason = retryfunc.ReasonGranted
		s.cut(a, i, err)
	}
	s.enter(i, d)
	return true
}

// cut ends an attempt at the timeout that the user has set.
func (s *call) cut(a *attempt, i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	e.end(retryfunc.Timeout)
	s.report(e, breaker.Timeout)
	s.failed = err
	a.abandoned = true
	if a.cancel != nil {
		a.cancel()
	}
}

// judge decides about an attempt that failed: whether the next may begin, or the
// call is over with s.failed for its error.
func (s *call) judge(a *attempt) (next, final bool) {
	if a.abandoned || errors.Is(a.err, errOutrun) {
		return false, s.running == 0
	}
	v := s.view(a)
	if !v.entered && s.ctx.Err() != nil {
		s.failed = a.err // nothing was attempted that there is to judge
		return false, s.running == 0
	}
	if !v.entered && (v.nothingNew || s.classify(a.err, s.evidence()) == retryfunc.NoNode) {
		return s.lookAgain(a.err)
	}
	s.failed = a.err
	i, shown := s.shown(a)
	counted := s.markJudged(i)
	if s.latest != nil && !s.latest.overdue && shown.Class != retryfunc.Application {
		s.enter(i, retryfunc.Decision{Attempt: shown, Reason: retryfunc.ReasonRunning, Err: a.err})
		return false, false // the attempt beside it may be answered yet
	}
	d, perr := s.explain(shown, a.err)
	if perr != nil {
		s.failed, d.Retry = perr, false
	}
	if d.Retry {
		s.admit(&d, !counted && s.countAttempt(shown, s.triedBefore(i), !v.dialTimedOut))
	}
	s.enter(i, d)
	switch {
	case d.Retry:
		return s.pause(d.Delay)
	case shown.Class == retryfunc.NotSent && d.Reason == retryfunc.ReasonAttempts:
		return s.lookAgain(a.err)
	default:
		return false, s.running == 0 || shown.Class == retryfunc.Application
	}
}

// view is what an attempt has seen so far.
func (s *call) view(a *attempt) seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.seen
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
	if len(s.overrides.addresses) > 0 || !now.Before(s.until) {
		s.enterAbsence(err)
		return false, s.running == 0
	}
	wait := min(s.look, s.until.Sub(now))
	s.look = min(2*s.look, lastLook)
	return s.pause(wait)
}

// close ends what the call has begun: no attempt is sent from here on, and no
// reply delivered. A call that is left by a panic gets its end here.
func (s *call) close() {
	defer func() {
		if s.latest != nil {
			s.client.shares.remove(s.latest)
		}
		if s.cancel != nil {
			s.cancel()
		}
	}()
	if !s.concluded {
		_ = s.end(ErrPanicked) // whoever has panicked returns nothing
	}
}
