package wrapper

import (
	"context"
	"errors"
	"time"

	merrors "go-micro.dev/v4/errors"
)

// beside runs an attempt beside a timer, because mucp does not watch its
// context. Its parts are made once and used again by the next call.
//
// Attempt and timer send to one channel: to wait on a timer's own channel in a
// select costs more than all the rest.
type beside struct {
	ctx       context.Context //nolint:containedctx // of the one attempt that is running
	send      func()
	done      chan error // has room for both
	timer     *time.Timer
	abandoned bool // go-micro is still at it, or the timer is, and owns the parts
}

// errTimeUp is what the timer sends.
var errTimeUp = errors.New("wrapper: attempt timeout")

// run makes t's attempt, or abandons it when its time is up. An abandoned one
// ends by itself, at the latest when go-micro's own timeout fires.
func (b *beside) run(ctx context.Context, t *try) error {
	b.prepare(ctx, t)
	go b.send()
	err := <-b.done
	b.abandoned = !b.timer.Stop() // what has fired has sent, or is about to
	if errors.Is(err, errTimeUp) {
		return merrors.Timeout("go.micro.client", "attempt timeout: no reply from %s within %s", t.node.Address, t.cutAfter)
	}
	if !b.abandoned {
		b.ctx = nil
	}
	return err
}

func (b *beside) prepare(ctx context.Context, t *try) {
	b.ctx = ctx
	if b.send == nil {
		b.done = make(chan error, 2)
		b.send = func() { b.done <- t.send(b.ctx) }
		b.timer = time.AfterFunc(t.cutAfter, func() { b.done <- errTimeUp })
		return
	}
	b.timer.Reset(t.cutAfter)
}
