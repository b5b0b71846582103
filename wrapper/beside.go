package wrapper

import (
	"context"
	"time"

	merrors "go-micro.dev/v4/errors"
)

// beside runs an attempt beside a timer, because mucp does not watch its
// context. Its parts are made once and used again by the next call.
type beside struct {
	ctx       context.Context //nolint:containedctx // of the one attempt that is running
	send      func()
	done      chan error
	timer     *time.Timer
	abandoned bool // go-micro is still at it, and owns the parts
}

// run makes t's attempt, or abandons it when its time is up. An abandoned one
// ends by itself, at the latest when go-micro's own timeout fires.
func (b *beside) run(ctx context.Context, t *try) error {
	b.prepare(ctx, t)
	defer b.timer.Stop()
	go b.send()
	select {
	case err := <-b.done:
		b.ctx = nil
		return err
	case <-b.timer.C:
		b.abandoned = true
		return merrors.Timeout("go.micro.client", "attempt timeout: no reply from %s within %s", t.node.Address, t.cutAfter)
	}
}

func (b *beside) prepare(ctx context.Context, t *try) {
	b.ctx = ctx
	if b.send == nil {
		b.done = make(chan error, 1)
		b.send = func() { b.done <- t.send(b.ctx) }
		b.timer = time.NewTimer(t.cutAfter)
		return
	}
	b.timer.Reset(t.cutAfter)
}
