package wrapper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// call is one logical call. The loop, and all that is not said to be shared,
// belongs to the goroutine of the caller, or to the one that it was handed to.
type call struct {
	client    *retryClient
	ctx       context.Context //nolint:containedctx // the call's own, for as long as it runs
	cancel    context.CancelFunc
	req       client.Request
	rsp       any
	blank     bool // rsp was empty when the call began
	options   []client.CallOption
	overrides callOverrides
	endpoint  *endpoint
	budget    *retryfunc.Budget
	streaming bool
	began     time.Time

	ruled retryfunc.Safety // what the user's rule says
	guess guess            // before the registry was asked

	limits   limits
	count    int           // decisions for another attempt
	pauseErr error         // of the backoff of this call
	look     time.Duration // of the search for another instance
	until    time.Time     // when it is given up

	hedge     hedge
	first     attempt
	begun     []*attempt // those that were begun beside the loop
	begunRoom [1]*attempt
	running   int                // how many of them have not ended
	latest    *attempt           // the one begun last, while it runs
	won       *attempt           // the one that was answered
	wake      chan struct{}      // an attempt has ended
	endBeside context.CancelFunc // ends the attempts that were begun beside others
	beside    context.Context    //nolint:containedctx // theirs
	failed    error              // of the last attempt that failed
	answer    bool               // it is what a handler answered

	concluded  bool        // the call has its end
	inherited  int         // attempts in its story that another call has told of
	considered atomic.Bool // a selector was asked, past our strategy, which nodes there are

	spare spare

	nodes selectorx.Call // shared; it has a lock of its own
	shared
}

// shared is what the attempts of one call share with each other and the loop. An
// attempt may outlive the call: go-micro returns when a context ends, and never
// waits.
type shared struct {
	reading    sync.RWMutex // held while the caller's request is read
	mu         sync.Mutex
	over       bool // no attempt may be sent any more, and no reply delivered
	traits     callTraits
	released   time.Time // of which a server has told, see retryfunc.Mark
	attempts   []entry   // the story
	room       [1]entry
	outcomes   []outcome // to be reported to the breaker
	oneOutcome [1]outcome
	sends      int        // attempts that may be sent yet, where the call must not run twice
	sending    int        // attempts that may have been sent and have not ended
	replied    *attempt   // whose reply is in the caller's response
	ended      []*attempt // attempts that ended and were not looked at
	endedRoom  [1]*attempt
	handed     *asked[error] // the loop, if it has gone on without the caller
}

// open reads what the caller asked for, and gives the call its end.
func (s *call) open(ctx context.Context, opts []client.CallOption) (err error) {
	s.began, s.ctx = time.Now(), s.beginCall(ctx)
	s.attempts, s.sends = s.room[:0], 1
	s.blank = isolable(s.rsp) && isBlank(s.rsp)
	if s.client.twice {
		return asOwn(ErrWrappedTwice)
	}
	s.options = opts
	if err = s.overrides.read(s.client, opts); err != nil {
		return asOwn(err)
	}
	if _, ok := ctx.Deadline(); !ok && !s.streaming {
		s.ctx, s.cancel = context.WithTimeout(s.ctx, s.overrides.RequestTimeout)
	}
	s.spare = s.spareOf()
	s.endpoint = s.client.endpoints.of(s.req)
	s.budget = s.client.budget.Of(s.req.Service())
	s.budget.Deposit()
	s.openHedge()
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

// loop makes attempts, the next of them at once or when it is time, until one is
// answered, or no other may be made: pick a node, make one attempt, classify,
// decide, wait. An attempt that has had its share of the call's time goes on while
// the next is made beside it, and the first answer counts.
func (s *call) loop(next bool) error {
	for {
		s.reportNodes()
		if next && s.begin() {
			return s.handed.take()
		}
		switch a := s.await(); {
		case a == nil:
			return s.outOfTime()
		case !a.done:
			next = s.overdue(a)
		case a.err == nil:
			s.won = a
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

// begin makes the next attempt: beside others, or in this goroutine where there are
// none. It tells whether the loop has gone on in another meanwhile.
func (s *call) begin() (handed bool) {
	a := &s.first
	if a.call != nil {
		a = new(attempt)
	}
	a.call, a.hedgeOf, s.hedge.of = s, s.hedge.of, nil
	a.left = s.attemptsLeft()
	a.onlyNew, a.last = !s.until.IsZero() || a.hedgeOf != nil, a.left == 1
	s.ration(a)
	s.latest = a
	due := dues{share: s.share(), dial: s.dialWait(), hedge: s.hedgeDelay()}
	if s.cuts(due.share) {
		due.dial = 0
	}
	if due.hedge == 0 && s.running == 0 && s.handed == nil && !s.streaming {
		return s.runHere(a, due)
	}
	s.runBeside(a, due)
	return false
}

// cuts tells whether an attempt is cut when it has had its share.
func (s *call) cuts(share time.Duration) bool { return share > 0 && s.overrides.attemptTimeout > 0 }

// dues are after how long the loop looks at an attempt: its share, that of its dial,
// and the delay of a hedge; 0: never.
type dues struct{ share, dial, hedge time.Duration }

// runBeside makes an attempt beside the loop. Wrappers inside of ours may write to
// its response, and read it, for as long as they like.
func (s *call) runBeside(a *attempt, due dues) {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	ctx := s.ctx
	if s.running > 0 && !s.streaming { // a stream keeps its context
		ctx = s.besideContext()
	}
	switch {
	case due.hedge > 0:
		ctx = a.detach(ctx)
	case s.cuts(due.share):
		ctx, a.cancel = context.WithCancel(ctx)
	}
	if s.begun == nil {
		s.begun = s.begunRoom[:0]
	}
	s.begun = append(s.begun, a)
	s.running++
	s.rspOf(a, true)
	s.watchShare(a, due)
	go a.sendBeside(ctx)
}

// rspOf gives an attempt a response of its own where somebody may hold on to it. The
// caller's may just be written to, by an attempt that is made in its goroutine.
func (s *call) rspOf(a *attempt, heldOn bool) {
	a.rsp = s.rsp
	switch {
	case !heldOn || !isolable(s.rsp):
	case s.blank:
		a.rsp = newLike(s.rsp)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		a.rsp = cmp.Or(another(s.rsp), s.rsp)
	}
}

// watchShare has the loop look at an attempt when that is due. Its time begins now.
func (s *call) watchShare(a *attempt, due dues) {
	a.began = time.Now()
	a.late, a.dialEnds, a.hedgeAt = after(a.began, due.share), after(a.began, due.dial), after(a.began, due.hedge)
	if first := a.dueAfter(a.began); !first.IsZero() {
		s.client.shares.add(a, first)
	}
}

// accept gives the caller the answer of the attempt that has one, in the caller's
// own goroutine, which no attempt uses any more.
func (s *call) accept(err error) {
	if err == nil && isolable(s.rsp) && isolable(s.won.rsp) {
		move(s.rsp, s.won.rsp)
	}
}

// besideContext is that of attempts beside others, which end with the call.
func (s *call) besideContext() context.Context {
	if s.beside == nil {
		s.beside, s.endBeside = context.WithCancel(s.ctx)
	}
	return s.beside
}

// await returns the next attempt that ended, the latest one if it has had its
// share (it is then not done), or nil when the call's time is over.
func (s *call) await() *attempt {
	if a := s.latest; a != nil && a.done {
		s.latest = nil
		if s.finish(a); s.ctx.Err() != nil && !s.hasEnd(a) {
			return nil
		}
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
	if a.sending {
		s.sending--
	}
	return a
}

// finish notes that an attempt which was not run beside the loop has ended.
func (s *call) finish(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.sending {
		s.sending--
	}
}

// hasEnd tells whether an attempt that has returned has an end of its own, rather
// than that of the call's time, at which go-micro leaves it.
func (s *call) hasEnd(a *attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.err == nil || !a.entered || s.attempts[a.entry].ended
}

// permit lets another attempt be sent after one that may have been.
func (s *call) permit(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.sending && !a.repeated {
		a.repeated = true
		s.sends++
	}
}

// settled tells whether no attempt that runs yet can change how the call ends.
func (s *call) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 || s.isSpent() && s.sending == 0
}

// isSpent tells whether the request was sent as often as it may be. The call must
// be locked.
func (s *call) isSpent() bool {
	return s.traits.resolved && !s.traits.repeatable() && s.sends <= 0
}

// mayBeAnswered tells whether an attempt is to be waited for before another may
// begin: the latest one within its share, or one after which nothing may be sent.
func (s *call) mayBeAnswered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isSpent() {
		return s.sending > 0
	}
	return s.latest != nil && !s.latest.overdue
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

// view is what an attempt has seen so far.
func (s *call) view(a *attempt) seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.seen
}

// close ends what the call has begun: no attempt is sent from here on, and no
// reply delivered. Attempts that were outrun end where the transport can end them.
// A call that is left by a panic gets its end here.
func (s *call) close() {
	defer s.stop()
	if !s.concluded {
		_ = s.end(ErrPanicked) // whoever has panicked returns nothing
	}
}

// stop ends what runs beside the loop.
func (s *call) stop() {
	for _, a := range s.begun {
		if !a.done {
			s.client.shares.remove(a)
			a.leaveAlone()
		}
	}
	if s.endBeside != nil {
		s.endBeside()
	}
	if s.cancel != nil && !s.lingers() {
		s.cancel()
	}
}
