package wrapper

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"go-micro.dev/v4/client"
	frame "go-micro.dev/v4/codec/bytes"
	microjson "go-micro.dev/v4/codec/json"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// exchange is the sending of a request to a node, and the receiving of its answer.
//
// It is made in a goroutine that go-micro has just begun, whose stack grows, in
// microseconds, where a call of the wire lies deeper in it than with the bare client. So
// what is done before and after is done in functions that have returned by then.
type exchange struct {
	attempt *attempt
	over    transport
	ctx     context.Context //nolint:containedctx // the wire's
	node    *registry.Node
	req     client.Request
	entry   int // in the story
	dialing *dialing
	reply   reply
}

// exchangeOver begins an exchange. A wrapper inside ours may send the request more than
// once.
func (a *attempt) exchangeOver(over transport) *exchange {
	x := &a.exchange
	if !a.takes(&a.exchangeUsed) {
		x = new(exchange)
	}
	x.attempt, x.over = a, over
	return x
}

// begin readies all that the wire is given.
func (x *exchange) begin(rsp any, opts *client.CallOptions) (err error) {
	a, s := x.attempt, x.attempt.call
	x.node = a.place(x.node, opts.Address)
	if x.entry, err = a.begin(x.ctx, x.node); err != nil {
		return err
	}
	x.ctx = a.trace(x.ctx, x.entry)
	x.receive(rsp)
	if x.req, x.dialing, err = a.prepareToSend(x.entry, x.over, x.req, x.node); err != nil {
		return err
	}
	left := leftOf(x.ctx, opts.RequestTimeout)
	given := s.attemptTime(left)
	setTimeouts(opts, given, s.dialLimit(left, x.dialing != nil))
	x.ctx = x.dialing.watch(s.metadataOf(x.ctx, x.entry+1, x.node, a.rationFor(x.node, given)), opts, a.cancel != nil)
	return nil
}

// end takes what the wire has returned, and gives what its caller gets.
func (x *exchange) end(err error) error {
	a, class := x.attempt, retryfunc.None
	if err == nil && x.isCut() {
		err = asClientError(".codec", io.EOF) // as the bare client says
	}
	if err != nil {
		ev, returned := a.call.evidence(), x.over.hasReturned(x.ctx)
		a.learnPushback(x.entry, x.dialing, returned)
		err = x.dialing.testify(&ev, err, returned)
		class = a.call.classify(err, ev)
	}
	x.dialing.unwatch()
	return a.ended(x.entry, class, &x.reply, err)
}

// isCut tells whether the connection ended before the body of an answer: go-micro's
// transport drops that error, and returns an answer without a body. JSON has none that is
// empty; a protobuf message may be.
func (x *exchange) isCut() bool {
	r := &x.reply
	if x.over != overMucp || r.target != &r.frame || len(r.frame.Data) > 0 {
		return false
	}
	_, raw := r.rsp.(*frame.Frame)
	return !raw && isFunc(x.attempt.call.client.codecFor(x.req.ContentType()), microjson.NewCodec)
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

// receive makes room for a reply.
func (x *exchange) receive(rsp any) {
	a, s := x.attempt, x.attempt.call
	x.reply.receive(s.client, x.over, x.req, x.node, rsp)
	if x.reply.shared && sameMemory(rsp, s.rsp) {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.shared = true
	}
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
