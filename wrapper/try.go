package wrapper

import (
	"context"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// grace is how much longer than the attempt the mucp client may wait. Its own
// timeout closes a connection that its reader may be using; the wrapper's timer
// fires first, and the reply or the broken connection usually ends the read.
const grace = 2 * time.Second

// try is what one attempt hands to go-micro: its own context, options and
// response, none of which the caller ever sees.
type try struct {
	call *call
	next client.CallFunc

	node     *registry.Node
	req      client.Request
	rsp      any // the caller's
	fresh    any // the attempt's own, if isolated; else rsp
	isolated bool
	opts     client.CallOptions
	cutAfter time.Duration // 0: the attempt may use all of the call's time
	answer   *grpcAnswer   // grpc's evidence; nil elsewhere
	beside   beside
}

// newTry makes the i-th attempt's try. The first is part of the call.
func (s *call) newTry(i int, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) *try {
	t := &s.first
	if i > 0 {
		t = new(try)
	}
	t.call, t.next, t.node, t.req, t.rsp, t.fresh, t.opts = s, s.next, node, req, rsp, rsp, opts
	if t.isolated = isolable(rsp); t.isolated {
		t.fresh = freshLike(rsp)
	}
	return t
}

// reset forgets the attempt, which must have ended, and keeps what another can
// use.
func (t *try) reset() { *t = try{beside: t.beside} }

// limit shortens everything that could take longer than d. Where the attempt
// must be cut before the call's own end, cut is true.
func (t *try) limit(d time.Duration, cut bool) {
	t.opts.RequestTimeout = d
	t.opts.ConnectionTimeout = d + grace
	if t.opts.DialTimeout <= 0 || t.opts.DialTimeout > d {
		t.opts.DialTimeout = d
	}
	if cut {
		t.cutAfter = d
	}
}

// run makes the attempt. grpc watches its context; mucp does not, and other
// clients may not, so that their attempts run beside a timer.
func (t *try) run(ctx context.Context) error {
	if t.call.client.kind == "grpc" {
		return t.runOnContext(ctx)
	}
	if t.cutAfter == 0 {
		return t.send(ctx)
	}
	return t.beside.run(ctx, t)
}

func (t *try) send(ctx context.Context) error {
	return t.next(ctx, t.node, t.req, t.fresh, t.opts)
}

func (t *try) runOnContext(ctx context.Context) error {
	t.answer = new(grpcAnswer)
	t.opts.Context = withGRPCAnswer(t.opts.Context, t.answer) //nolint:fatcontext // once for each try, whose opts are its own
	if t.cutAfter == 0 {
		return t.send(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, t.cutAfter)
	defer cancel()
	return t.send(limited)
}

// evidence is what this side saw of the attempt.
func (t *try) evidence() retryfunc.Evidence {
	ev := t.call.evidence()
	t.answer.testify(&ev)
	return ev
}

// deliver moves the reply to the caller. The call must be open and locked.
func (t *try) deliver() {
	if t.isolated {
		moveInto(t.rsp, t.fresh)
	}
}
