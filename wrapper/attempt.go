package wrapper

import (
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
	exchange exchange
	dial     dialing
	choice   selectorx.Choice

	exchangeUsed, dialUsed, choiceUsed bool // guarded by the call's mu
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
	growStackToSend(false)
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
		x := a.exchangeOver(wireOf(next))
		x.ctx, x.node, x.req = ctx, node, req
		if err := x.begin(rsp, &opts); err != nil {
			return err
		}
		return x.end(next(x.ctx, x.node, x.req, x.reply.target, opts))
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
