package wrapper

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// lastWord is how long hooks may take when the call's own time is over: that is
// when they are told so.
const lastWord = 100 * time.Millisecond

// errAnswered ends the wait for a function of the user's where an attempt that
// runs beside the loop is answered.
var errAnswered = errors.New("wrapper: another attempt was answered")

// ask runs a function of the user's under no lock, and waits for it no longer
// than the call has time and no answer. What it panics with is raised in the
// goroutine of the caller, where the bare client would have run it.
//
// A function that takes longer is left to itself. It must share nothing with the
// loop: it is given values, and what it returns then is dropped.
func ask[T any](s *call, f func() T) (answer T, err error) {
	if s.ctx.Err() != nil {
		return answer, s.ctx.Err()
	}
	if s.ctx.Done() == nil && s.running == 0 {
		return f(), nil
	}
	a := start(f)
	if err = s.waitFor(a.ended); err != nil && a.leave() {
		return answer, err
	}
	return a.take(), nil
}

// askWithin is ask for what is no call.
func askWithin[T any](ctx context.Context, f func() T) (answer T, err error) {
	a := start(f)
	select {
	case <-a.ended:
	case <-ctx.Done():
		if a.leave() {
			return answer, ctx.Err()
		}
	}
	return a.take(), nil
}

// inform runs hooks one after the other, all of them even if one panics, and
// waits for them as ask does, but a moment longer.
func (s *call) inform(hooks []func()) {
	a := start(func() struct{} {
		runAll(hooks)
		return struct{}{}
	})
	if s.waitFor(a.ended) != nil {
		moment := time.NewTimer(lastWord)
		defer moment.Stop()
		select {
		case <-a.ended:
		case <-moment.C:
			if a.leave() {
				return
			}
		}
	}
	a.take()
}

// runAll runs functions in their order.
func runAll(functions []func()) {
	for _, f := range slices.Backward(functions) {
		defer f()
	}
}

// waitFor returns nil when ended is closed, and an error if the call cannot wait
// for it.
func (s *call) waitFor(ended <-chan struct{}) error {
	for {
		select {
		case <-ended:
			return nil
		case <-s.wake:
			if s.answered() {
				return errAnswered
			}
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// asked is a function of the user's that runs in a goroutine of its own.
type asked[T any] struct {
	ended  chan struct{}
	turned atomic.Bool // it has ended, or nobody waits for it: whichever came first

	answer   T
	returned bool
	panicked any
}

func start[T any](f func() T) *asked[T] {
	a := &asked[T]{ended: make(chan struct{})}
	go a.run(f)
	return a
}

func (a *asked[T]) run(f func() T) {
	defer func() {
		if !a.returned {
			a.panicked = recover()
		}
		if left := !a.turned.CompareAndSwap(false, true); left && a.panicked != nil {
			slog.Error("oncemore: a function that its call no longer waited for panicked",
				slog.Any("panic", a.panicked), slog.String("stack", string(debug.Stack())))
		}
		close(a.ended)
	}()
	a.answer = f()
	a.returned = true
}

// leave gives the function up. It is false if it has ended.
func (a *asked[T]) leave() bool { return a.turned.CompareAndSwap(false, true) }

// take returns what the function did, and ends its goroutine's caller as it ended
// itself.
func (a *asked[T]) take() T {
	<-a.ended
	switch {
	case a.returned:
	case a.panicked != nil:
		panic(a.panicked) //nolint:forbidigo // it is the user's own
	default:
		runtime.Goexit() // as testing's FailNow does
	}
	return a.answer
}
