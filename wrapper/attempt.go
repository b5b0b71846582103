package wrapper

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// attempt is one go of the inner client: it picks a node and sends the request
// there once, unless a wrapper inside ours sends it again.
type attempt struct {
	call    *call
	onlyNew bool     // it may go only where the call has not been
	last    bool     // no other may follow it
	left    int      // how many attempts the call had when it began, this one included
	hedgeOf *attempt // beside which it began, where it is a hedge
	address string   // where a stream goes whose caller gave addresses
	rsp     any      // its own, or the caller's
	ration  ration   // what it may use up

	expired atomic.Bool // it has had its share, or its dial has

	shareEnds  time.Time // guarded by the client's shares, as is
	shareIndex int

	// The loop's.
	cancel    context.CancelFunc // of its own context, if it has one
	stream    *watchedStream     // what opened, where the call is one
	departed  *departure         // how its goroutine was left, if not by returning
	err       error
	done      bool
	late      time.Time // when it has had its share; zero: never
	dialEnds  time.Time // when its dial has had its own; zero: never
	hedgeAt   time.Time // when it is hedged; zero: never
	overdue   bool      // it was seen to have had it
	unsent    bool      // it was counted as one that was not sent
	abandoned bool      // it was cut
	began     time.Time
	detached  detached // its context, where it may outlive the call

	returned  bool   // guarded by the call's mu, as is
	testimony string // of which address it is the witness

	seen // guarded by the call's mu
	space
}

// space is room for what an attempt hands to go-micro.
type space struct {
	options  [1]client.CallOption
	wrappers [1]client.CallWrapper
	selects  [1]selector.SelectOption
	reply    reply
	dial     dialing
	choice   selectorx.Choice

	replyUsed, dialUsed, choiceUsed bool // guarded by the call's mu
}

// seen is what an attempt has seen, for its loop to read.
type seen struct {
	entered      bool
	entry        int // its place in the story; the last one, should a wrapper inside ours call more than once
	picked       string
	protocol     string // which the node picked announces
	keyNeeded    bool
	nothingNew   bool // there is no node that the call has not tried
	dialTimedOut bool
	shared       bool // it writes to the caller's own response
	dialing      *dialing
	sending      bool // it may have sent the request
	repeated     bool // it was followed by another that may
	passedOver   bool // it has a connection, and another has sent
	here         bool // the loop's own goroutine makes it
}

// entry is an attempt's part of the story. It is guarded by the call's mu.
type entry struct {
	Attempt
	of        *attempt
	traced    context.Context //nolint:containedctx // what the tracers made of the attempt's
	dials     *dialing
	unreached bool // its dial took too long
	again     bool // the call had tried this address before
	ended     bool // its outcome is known
	counted   bool // among those that the call may make
	load      selectorx.Load
	outcome   selectorx.Outcome // of the load
	outrun    bool              // another was answered first
	failure   bool              // the instance has answered with one
	pushback
}

func (e *entry) end(class retryfunc.Class) {
	e.ended, e.Class, e.Duration = true, class, time.Since(e.Began)
}

// What an attempt answers that is not, or no longer, part of its call.
var (
	errKeyNeeded = errors.New("wrapper: the endpoint turned out to need a key")
	errOutrun    = merrors.New("go.micro.client", "another attempt of this call was answered first", 408)
)

// errCallEnded is what an attempt answers that was started after its call had
// ended.
func errCallEnded(ctx context.Context) error {
	return merrors.Timeout("go.micro.client", "call ended before this attempt was sent: %v", context.Cause(ctx))
}

// send makes the attempt: go-micro's own client, once, without its retries.
func (a *attempt) send(ctx context.Context) (err error) {
	s := a.call
	opts := appendTo(s.options, append(a.options[:0], a.apply))
	a.wrappers[0], a.selects[0] = a.wrap, a.choose
	if s.streaming {
		err = a.open(ctx, opts)
	} else {
		err = s.client.Client.Call(ctx, s.req, a.rsp, opts...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.replied == a {
		s.replied = nil // a wrapper inside made an error of its reply
	}
	if err != nil && a.keyNeeded {
		return errKeyNeeded // go-micro keeps no more than the text of what the strategy said
	}
	return err
}

// apply puts the attempt into the options of the inner client. A wrapper inside
// ours may call more than once, and at the same time. It never appends to a slice
// that it does not own.
func (a *attempt) apply(o *client.CallOptions) {
	s := a.call
	if t := targetOf(o); t != nil { // a wrapper of ours, inside of this one
		t.errs = append(t.errs, ErrWrappedTwice)
		return
	}
	o.Retries, o.Retry, o.Backoff = s.client.transport.oneAttempt(), neverRetry, noBackoff
	if s.streaming {
		a.applyToStream(o)
	} else {
		o.CallWrappers = appendTo(o.CallWrappers, a.wrappers[:])
	}
	o.SelectOptions = appendTo(o.SelectOptions, a.selects[:])
}

// appendTo returns old and more, never in what is behind old, and more itself
// where there is no old. Whoever appends to it has to copy it.
func appendTo[T any](old, more []T) []T {
	if len(old) == 0 {
		return slices.Clip(more)
	}
	return slices.Clip(append(slices.Clip(old), more...))
}

func neverRetry(context.Context, client.Request, int, error) (bool, error) { return false, nil }

func noBackoff(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }

// choose puts the call's rules around the strategy that it would have used.
func (a *attempt) choose(o *selector.SelectOptions) {
	choice := &a.choice
	if !a.takes(&a.choiceUsed) {
		choice = new(selectorx.Choice)
	}
	choice.Install(a.call.ctx, o, a)
}

// PickNode is the strategy of the attempt.
func (a *attempt) PickNode(choice *selectorx.Choice) (*registry.Node, error) {
	s := a.call
	retriable, err := a.prepare(choice)
	if err != nil {
		return nil, err
	}
	if a.onlyNew && !s.nodes.UntriedAmong(choice.Services()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.nothingNew = true
		return nil, selector.ErrNoneAvailable
	}
	node, err := a.pickFrom(choice, retriable)
	if err != nil {
		return nil, err
	}
	a.notePick(node)
	if s.streaming {
		_, err = a.begin(s.ctx, node)
	}
	return node, err
}

func (a *attempt) notePick(node *registry.Node) {
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	a.picked, a.protocol = node.Address, node.Metadata["protocol"]
}

// prepare settles what the first node decides for the whole call, and tells
// whether it can be made elsewhere if this attempt fails.
func (a *attempt) prepare(choice *selectorx.Choice) (retriable bool, err error) {
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false, errCallEnded(s.ctx)
	}
	if a.keyNeeded = !s.resolveTraits(choice); a.keyNeeded {
		return false, errKeyNeeded
	}
	return s.traits.repeatable() && !a.last, nil
}

// wrap is the attempt's call wrapper, the one nearest to the wire.
func (a *attempt) wrap(next client.CallFunc) client.CallFunc {
	return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		return a.exchange(ctx, next, node, req, rsp, opts)
	}
}

// sendBeside makes the attempt beside the loop. What a wrapper inside of ours panics
// with there is the caller's, in whose goroutine the bare client would have run it.
func (a *attempt) sendBeside(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			a.err, a.departed = ErrPanicked, &departure{recover(), debug.Stack()}
		}
		if a.cancel != nil {
			a.cancel()
		}
		a.call.client.shares.remove(a)
		a.end()
	}()
	a.err = a.send(ctx)
	returned = true
}

// end has the loop look at an attempt that ran beside it.
func (a *attempt) end() {
	s := a.call
	s.mu.Lock()
	if a.returned = true; a.testimony != "" {
		s.client.witnesses.release(a.testimony)
	}
	if s.ended == nil {
		s.ended = s.endedRoom[:0]
	}
	s.ended = append(s.ended, a)
	over := s.over
	s.mu.Unlock()
	if over {
		a.departed.log()
	}
	s.rouse()
}

// stop ends an attempt that nobody waits for, if it has not ended. mucp cannot be
// told, and goes on until its own timeout.
func (a *attempt) stop() {
	if a.cancel != nil {
		a.cancel()
	}
	a.call.view(a).dialing.stop(errOutrun)
}

// expire ends the attempt's share.
func (a *attempt) expire() {
	a.expired.Store(true)
	if !a.handOver() {
		a.call.rouse()
	}
}

// exchange sends the request to a node and receives the answer.
func (a *attempt) exchange(
	ctx context.Context, next client.CallFunc, node *registry.Node, req client.Request, rsp any, opts client.CallOptions,
) error {
	s := a.call
	node = a.place(node, opts.Address)
	i, err := a.begin(ctx, node)
	if err != nil {
		return err
	}
	ctx = a.trace(ctx, i)
	over := wireOf(next)
	got := a.receive(over, req, node, rsp)
	req, d, err := a.prepareToSend(i, over, req, node)
	if err != nil {
		return err
	}
	left := leftOf(ctx, opts.RequestTimeout)
	given := s.attemptTime(left)
	setTimeouts(&opts, given, s.dialLimit(left, d != nil))
	ctx, end := d.watch(s.metadataOf(ctx, i+1, node, a.rationFor(node, given)), &opts)
	err = next(ctx, node, req, got.target, opts)
	class := retryfunc.None
	if err != nil {
		ev := s.evidence()
		returned := over.hasReturned(ctx)
		a.learnPushback(i, d, returned)
		err = d.testify(&ev, err, returned)
		class = s.classify(err, ev)
	}
	end()
	return a.ended(i, class, got, err)
}

// prepareToSend returns the request as the wire is to have it, and what watches
// the dial. Where the wire does not ask when it is about to send, that is now.
func (a *attempt) prepareToSend(
	i int, over transport, req client.Request, node *registry.Node,
) (client.Request, *dialing, error) {
	req, d, asks := a.dress(i, over, req, node)
	if !asks && !a.maySend() {
		return nil, nil, errCallEnded(a.call.ctx)
	}
	return req, d, nil
}

// dress reads the caller's request, and so only while the caller waits.
func (a *attempt) dress(i int, over transport, req client.Request, node *registry.Node) (client.Request, *dialing, bool) {
	s := a.call
	s.reading.RLock()
	defer s.reading.RUnlock()
	ended, repeatable := s.state()
	if ended {
		return req, nil, false // and it may not be sent
	}
	d := s.client.newDialing(over, a)
	req, asks := s.outgoing(over, req, node, d, repeatable)
	if !asks && over == overMucp {
		d = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.dialing, s.attempts[i].dials = d, d
	return req, d, asks
}

// state tells whether the call is over, and whether it may run twice.
func (s *call) state() (over, repeatable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over, s.traits.repeatable()
}

// maySend tells whether the attempt may be sent now. A call that must not run
// twice is sent by one of its attempts at a time, whichever has a connection
// first.
func (a *attempt) maySend() bool {
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over || a.abandoned:
		return false
	case a.sending:
		return true
	case s.sends == 0 && !s.traits.repeatable():
		a.passedOver = true
		return false
	}
	s.sends--
	s.sending++
	a.sending = true
	return true
}

// receive makes room for a reply. A wrapper inside ours may send the request more
// than once.
func (a *attempt) receive(over transport, req client.Request, node *registry.Node, rsp any) *reply {
	s := a.call
	got := a.room()
	got.receive(s.client, over, req, node, rsp)
	if got.shared && sameMemory(rsp, s.rsp) {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.shared = true
	}
	return got
}

func (a *attempt) room() *reply {
	if a.takes(&a.replyUsed) {
		return &a.reply
	}
	return new(reply)
}

// takes tells whether a part of the attempt's space is free, and takes it.
func (a *attempt) takes(used *bool) bool {
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	free := !*used
	*used = true
	return free
}

// begin enters the attempt on node into the call's story. The error says why it
// must not be made: the caller has gone, or the call has no key.
func (a *attempt) begin(ctx context.Context, node *registry.Node) (int, error) {
	s := a.call
	if ctx.Err() != nil {
		return 0, errCallEnded(ctx)
	}
	if s.view(a).picked == "" { // no strategy was asked
		if _, err := a.prepare(selectorx.ChoiceOf(s.nodes.Services())); err != nil {
			return 0, err
		}
	}
	s.nodes.MarkTried(node.Address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || a.abandoned {
		return 0, errCallEnded(ctx)
	}
	again := slices.ContainsFunc(s.attempts, func(e entry) bool { return e.Address == node.Address })
	if again && a.hedgeOf != nil {
		a.nothingNew = true
		return 0, errCallEnded(ctx)
	}
	a.entered, a.entry = true, len(s.attempts)
	s.attempts = append(s.attempts, entry{
		Attempt: Attempt{Number: len(s.attempts) + 1, Address: node.Address, Began: time.Now(), Hedge: a.hedgeOf != nil},
		of:      a, dials: a.dialing, again: again,
		load: s.nodes.Begin(node.Address),
	})
	s.endpoint.seen.Store(true)
	return a.entry, nil
}

// ended enters how the exchange ended, and moves the reply into place if the
// caller is still there to read it.
func (a *attempt) ended(i int, class retryfunc.Class, got *reply, err error) error {
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	e.failure = isFailure(class, err)
	s.endpoint.observe(e, class, s.over || e.ended) // a late answer is one, too
	if s.over || e.ended {
		if e.outrun {
			s.client.lateAnswers.add(outcome{e.Address, eventOf(class, err, false), e.Began, time.Since(e.Began)})
		}
		return cmp.Or(err, errOutrun)
	}
	a.fail(e, class, err)
	if err != nil {
		return err
	}
	if s.replied != nil && s.replied != a {
		return errOutrun
	}
	s.replied = a
	return got.deliver()
}

// fail enters how an attempt ended, an answer included. The call must be locked.
func (a *attempt) fail(e *entry, class retryfunc.Class, err error) {
	a.call.learnHedge(class, err)
	a.dialTimedOut = class == retryfunc.NotSent && timeWasUp(err)
	e.unreached = a.dialTimedOut
	e.end(class)
	e.outcome = outcomeOf(class, err)
	event := eventOf(class, err, a.dialTimedOut)
	if a.passedOver {
		event, e.outcome = breaker.Ignored, selectorx.OutcomeCut
	}
	a.call.report(e, event)
}

// evidence is what is known of any attempt of this call.
func (s *call) evidence() retryfunc.Evidence {
	return retryfunc.Evidence{Client: string(s.client.transport), Service: s.req.Service()}
}

// classify says how an attempt ended. A caller who cancelled explains every
// error, whatever text go-micro put on it.
func (s *call) classify(err error, ev retryfunc.Evidence) retryfunc.Class {
	if errors.Is(s.ctx.Err(), context.Canceled) {
		return retryfunc.Canceled
	}
	return retryfunc.Classify(err, ev)
}

// eventOf says what an attempt shows of its node. An answer is a sign of life,
// whatever it says, unless a proxy gave it in the node's place. What oncemore's
// own server side answers (still running, store down) says nothing of the node,
// and an internal error nothing yet: the request may be to blame.
func eventOf(class retryfunc.Class, err error, dialTimedOut bool) breaker.Event {
	if mark, marked := retryfunc.ParseMark(err); marked && !mark.Kind.OfHandler() {
		return breaker.Ignored
	}
	switch class {
	case retryfunc.None:
		return breaker.Success
	case retryfunc.Application:
		if retryfunc.FromGateway(err) {
			return breaker.Ignored
		}
		return breaker.Success
	case retryfunc.NotSent:
		if dialTimedOut {
			return breaker.Unreachable
		}
		return breaker.Refused
	case retryfunc.Broken:
		return breaker.Broken
	case retryfunc.Timeout:
		return breaker.Timeout
	default:
		return breaker.Ignored
	}
}

// report notes for the balance and the breaker what an attempt showed of its node.
// That a caller's time ended, or that another attempt was faster, counts only where
// the attempt was given what the endpoint usually takes: less is impatience. The call
// must be locked.
func (s *call) report(e *entry, event breaker.Event) {
	if s.impatient(e, event) {
		event, e.outcome = breaker.Ignored, selectorx.OutcomeCut
	}
	e.load.End(e.outcome, e.Duration)
	if s.outcomes == nil {
		s.outcomes = s.oneOutcome[:0]
	}
	s.outcomes = append(s.outcomes, outcome{e.Address, event, e.Began, e.Duration})
}

// outcome is what an attempt showed of its node.
type outcome struct {
	address string
	event   breaker.Event
	began   time.Time
	took    time.Duration
}

// reportNodes hands on what attempts have shown.
func (s *call) reportNodes() {
	s.client.reportOutcomes(s.takeOutcomes())
	s.client.reportOutcomes(s.client.lateAnswers.take())
}

// reportOutcomes tells the breaker, under no lock: it calls hooks of the user's.
func (c *retryClient) reportOutcomes(outcomes []outcome) {
	for _, o := range outcomes {
		c.breaker.Report(o.address, o.event, o.began, o.took)
	}
}

func (s *call) takeOutcomes() []outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outcomes) == 0 {
		return nil
	}
	taken := s.outcomes
	s.outcomes = taken[len(taken):] // the next one has a place of its own
	return taken
}

// impatient tells whether the event says more of the caller than of the node.
func (s *call) impatient(e *entry, event breaker.Event) bool {
	patience := s.patience()
	switch event {
	case breaker.Outrun:
	case breaker.Timeout:
		if s.left() > e.Duration/8 {
			return false // it was not the caller's time that ended
		}
	case breaker.Unreachable:
		patience = min(patience, leastDial)
	default:
		return false
	}
	given := e.Duration
	if deadline, ok := s.ctx.Deadline(); ok { // by which a busy machine may have been late
		given = min(given, deadline.Sub(e.Began))
	}
	return given < patience
}

// patience is how long an attempt must have waited to speak against its node.
func (s *call) patience() time.Duration {
	if known := s.endpoint.latency.usual(); known > 0 {
		return known
	}
	return untold
}
