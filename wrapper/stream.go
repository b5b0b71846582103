package wrapper

import (
	"context"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// Stream opens a stream, on another instance if one cannot be reached. It returns the
// error of the inner client if no stream could be opened; see [WithReport] for what
// led to it. A stream carries no idempotency key.
//
// Where the endpoint is known to be safe or idempotent, the stream is opened elsewhere
// also after its opening, until its first message has arrived; see [WithStreamBuffer].
// Of any other stream only the opening is retried.
func (c *retryClient) Stream(ctx context.Context, req client.Request, opts ...client.CallOption) (client.Stream, error) {
	s := &call{client: c, req: req, streaming: true}
	defer s.close()
	if err := s.open(ctx, opts); err != nil {
		return nil, s.end(err)
	}
	if err := s.end(s.loop(true)); err != nil {
		return nil, err
	}
	return s.opened().asStream(), nil
}

// opened is the stream that the last attempt opened.
func (s *call) opened() *watchedStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replied.stream
}

// applyToStream gives a stream's opening its dial timeout: call wrappers do not
// apply to streams.
func (a *attempt) applyToStream(o *client.CallOptions) {
	s := a.call
	dial := s.cutShare(s.left(), !a.last)
	if o.DialTimeout <= 0 || o.DialTimeout > dial {
		o.DialTimeout = dial
	}
	if a.address != "" {
		o.Address = []string{a.address}
	}
	if a.dialing != nil && a.dialing.over == overGRPC {
		o.Context = withGRPCOptions(o.Context, a.dialing)
	}
}

// open opens a stream. Its node is known only from the strategy, or chosen here
// where the caller gave addresses.
func (a *attempt) open(ctx context.Context, opts []client.CallOption) error {
	s := a.call
	if err := a.chooseAddress(ctx); err != nil {
		return err
	}
	ctx, end := a.watchOpening(withoutLeaks(ctx))
	stream, err := s.client.Client.Stream(ctx, s.req, opts...)
	if err != nil {
		end(true)
		return a.openingFailed(err)
	}
	end(false)
	opened := &watchedStream{Stream: stream, call: s, end: end}
	if !a.deliverStream(opened) {
		_ = opened.Close() // nobody will use it
		return errOutrun
	}
	return nil
}

// deliverStream makes the stream the call's, if it has none and its caller is
// there.
func (a *attempt) deliverStream(opened *watchedStream) bool {
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.replied != nil || a.abandoned {
		return false
	}
	s.replied, a.stream = a, opened
	if a.entered { // else through a strategy of others: its node is not known
		e := &s.attempts[a.entry]
		e.end(retryfunc.None)
		opened.opened, opened.entry = *e, a.entry
		if a.retries(opened) { // its first message is the success
			e.load.End(selectorx.OutcomeCut, e.Duration)
		} else {
			e.outcome = selectorx.OutcomeAnswered
			s.report(e, breaker.Success)
		}
	}
	return true
}

// retries tells whether the stream that was opened may be opened again, and notes how.
// The call must be locked.
func (a *attempt) retries(opened *watchedStream) bool {
	s := a.call
	if s.overrides.streamBuffer == 0 || s.overrides.attempts == 1 || !s.traits.resolved || !s.traits.repeatable() {
		return false
	}
	opened.wire = s.client.streamWireOf(opened.Stream, s.req.ContentType(), a.protocol)
	if opened.wire.over == "" {
		return false
	}
	request, err := opened.wire.asRequest(s.req)
	if err != nil {
		return false
	}
	opened.request = request
	return true
}

// openingFailed enters how the opening ended.
func (a *attempt) openingFailed(err error) error {
	s := a.call
	class, err := s.classOfStream(a.dialing, err, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.entered {
		return err
	}
	a.fail(&s.attempts[a.entry], class, err)
	return err
}

// watchOpening watches the dial: grpc says when it has a connection, and http does
// nothing but dial, for as long as its context lasts. The stream keeps the context;
// end(true) ends it.
func (a *attempt) watchOpening(ctx context.Context) (context.Context, func(failed bool)) {
	s := a.call
	over := s.client.transport
	if over != overGRPC && over != overHTTP {
		return ctx, func(bool) {}
	}
	d := s.client.newDialing(over, a)
	ctx = d.stoppable(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	a.dialing = d
	if a.entered {
		s.attempts[a.entry].dials = d
	}
	stopTimer := func() bool { return true }
	if over == overHTTP {
		d.asked.Store(true)
		stopTimer = time.AfterFunc(s.cutShare(s.left(), !a.last), d.expire).Stop
	}
	return ctx, func(failed bool) {
		stopTimer()
		if failed {
			d.stop(context.Canceled)
		}
	}
}

// chooseAddress chooses among the addresses that the caller gave: go-micro
// bypasses every strategy then.
func (a *attempt) chooseAddress(ctx context.Context) error {
	s := a.call
	if len(s.overrides.Address) == 0 {
		return nil
	}
	node := s.among(s.overrides.Address, &registry.Node{})
	a.address = node.Address
	_, err := a.begin(ctx, node)
	return err
}

// watchedStream tells the breaker when the instance of an open stream dies.
type watchedStream struct {
	client.Stream
	call   *call
	opened entry
	entry  int // its place in the story
	broken atomic.Bool
	end    func(failed bool)

	request client.Request // with which it can be opened again; nil: it cannot
	wire    streamWire
}

// Send sends a message; see client.Stream.
func (w *watchedStream) Send(msg any) error { return w.watch(w.Stream.Send(msg)) }

// Recv receives a message; see client.Stream.
func (w *watchedStream) Recv(msg any) error { return w.watch(w.Stream.Recv(msg)) }

// Close closes the stream; see client.Stream.
func (w *watchedStream) Close() error {
	defer w.end(true)
	return w.Stream.Close()
}

func (w *watchedStream) watch(err error) error {
	if err == nil {
		return nil
	}
	s := w.call
	died := w.opened.Address != "" && s.classify(err, s.evidence()) == retryfunc.Broken
	if died && w.broken.CompareAndSwap(false, true) {
		s.client.breaker.Report(w.opened.Address, breaker.Broken, w.opened.Began, time.Since(w.opened.Began))
	}
	return err
}
