package wrapper

import (
	"context"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
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

	done      chan error
	abandoned bool // go-micro is still at it
}

func (s *call) newTry(node *registry.Node, req client.Request, rsp any, opts client.CallOptions) *try {
	t := &try{call: s, next: s.next, node: node, req: req, rsp: rsp, fresh: rsp, opts: opts}
	if t.isolated = isolable(rsp); t.isolated {
		t.fresh = freshLike(rsp)
	}
	return t
}

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
	return t.runBesideTimer(ctx)
}

func (t *try) send(ctx context.Context) error {
	return t.next(ctx, t.node, t.req, t.fresh, t.opts)
}

func (t *try) runOnContext(ctx context.Context) error {
	t.answer = new(grpcAnswer)
	t.opts.Context = withGRPCAnswer(t.opts.Context, t.answer)
	if t.cutAfter == 0 {
		return t.send(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, t.cutAfter)
	defer cancel()
	return t.send(limited)
}

// runBesideTimer abandons the attempt when its time is up. The abandoned one
// ends by itself, at the latest when go-micro's own timeout fires.
func (t *try) runBesideTimer(ctx context.Context) error {
	t.done = make(chan error, 1)
	go func() { t.done <- t.send(ctx) }()
	timer := time.NewTimer(t.cutAfter)
	defer timer.Stop()
	select {
	case err := <-t.done:
		return err
	case <-timer.C:
		t.abandoned = true
		return merrors.Timeout("go.micro.client", "attempt timeout: no reply from %s within %s", t.node.Address, t.cutAfter)
	}
}

// evidence is what this side saw of the attempt.
func (t *try) evidence() retryfunc.Evidence {
	ev := retryfunc.Evidence{Client: t.call.client.kind, Service: t.req.Service()}
	t.answer.testify(&ev)
	return ev
}

// deliver moves the reply to the caller. The call must be open and locked.
func (t *try) deliver() {
	if t.isolated {
		moveInto(t.rsp, t.fresh)
	}
}
