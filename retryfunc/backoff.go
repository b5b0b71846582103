package retryfunc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"go-micro.dev/v4/client"
)

const (
	defaultBase = 25 * time.Millisecond
	defaultCap  = time.Second
)

// Backoff computes how long to wait before a retry: exponential with full
// jitter, a random time between nothing and a ceiling that starts at the base
// and doubles with every retry up to the cap ("Exponential Backoff And Jitter",
// AWS Architecture Blog, 2015). Make one with [NewBackoff]; it is safe for
// concurrent use.
type Backoff struct {
	base, cap time.Duration
	random    func(n int64) int64 // uniform in [0,n)
}

// BackoffOption configures a [Backoff].
type BackoffOption func(*Backoff)

// WithBase sets the ceiling of the wait before the first retry; default 25 ms.
// It must be positive and no more than the cap.
func WithBase(d time.Duration) BackoffOption {
	return func(b *Backoff) { b.base = d }
}

// WithCap sets the ceiling that no wait exceeds; default 1 s. It must be no
// less than the base.
func WithCap(d time.Duration) BackoffOption {
	return func(b *Backoff) { b.cap = d }
}

// NewBackoff returns a Backoff, or an error that names the option that cannot
// be.
func NewBackoff(opts ...BackoffOption) (*Backoff, error) {
	b := &Backoff{base: defaultBase, cap: defaultCap, random: rand.Int64N}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("retryfunc: NewBackoff: option %d is nil: must be a BackoffOption", i+1)
		}
		opt(b)
	}
	if b.base <= 0 {
		return nil, fmt.Errorf("retryfunc: WithBase(%v): must be more than 0", b.base)
	}
	if b.cap < b.base && b.cap == defaultCap {
		return nil, fmt.Errorf("retryfunc: WithBase(%v): must be at most the cap, which is %v: see WithCap", b.base, b.cap)
	}
	if b.cap < b.base {
		return nil, fmt.Errorf("retryfunc: WithCap(%v): must be at least the base, %v", b.cap, b.base)
	}
	return b, nil
}

// Delay returns a wait for the given retry, 1 for the first. Below 1 it is 0:
// the first attempt waits for nothing.
func (b *Backoff) Delay(retry int) time.Duration {
	if retry < 1 {
		return 0
	}
	return time.Duration(b.random(int64(b.ceiling(retry)) + 1))
}

// ceiling doubles step by step, so that it cannot overflow.
func (b *Backoff) ceiling(retry int) time.Duration {
	d := b.base
	for range retry - 1 {
		if d > b.cap/2 {
			return b.cap
		}
		d *= 2
	}
	return d
}

// Func returns a client.BackoffFunc. go-micro sleeps what a BackoffFunc returns
// without looking at the context, and so sends attempts after the call has
// returned; this one waits itself, ends with the context, and returns 0. Its
// error is that of [Wait], which go-micro makes the error of an attempt:
// [WithinDeadline] keeps the one before.
func (b *Backoff) Func() client.BackoffFunc {
	return func(ctx context.Context, _ client.Request, attempts int) (time.Duration, error) {
		return 0, Wait(ctx, b.Delay(attempts))
	}
}

// Wait waits for d, or until ctx ends, whose error it then returns. It does not
// begin a wait that ctx's deadline would cut short: the error is then a
// context.DeadlineExceeded at once. It never waits for d ≤ 0.
func Wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return fmt.Errorf("retryfunc: a wait of %v does not end before the call's deadline: %w", d, context.DeadlineExceeded)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
