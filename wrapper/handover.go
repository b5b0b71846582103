package wrapper

import "context"

// An attempt that runs beside no other is made by the goroutine of the caller, as
// the bare client would: to hand a call to another goroutine and its answer back
// takes longer than all else that the wrapper does. When the attempt has had its
// share of the call's time, the loop goes on in a goroutine of its own. The caller's
// comes back from the attempt then and waits for the loop, which has ended the
// attempt once it needs it no more.

// runHere makes an attempt, and tells whether the loop has gone on without it.
func (s *call) runHere(a *attempt, due dues) (handed bool) {
	ctx := s.ctx
	s.rspOf(a, len(s.overrides.CallWrappers) > 0) // which go-micro does not wait for
	if due != (dues{}) {
		ctx, a.cancel = context.WithCancel(ctx)
		a.here = true
		s.watchShare(a, due)
	}
	returned := false
	defer func() { handed = a.comeBack(returned) }() // a wrapper inside of ours may panic
	a.err = a.send(ctx)
	returned = true
	return
}

// handOver has the loop go on without the goroutine that makes the attempt. It is
// false if that is not the loop's, or has ended the attempt.
func (a *attempt) handOver() bool {
	s := a.call
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.here {
		return false
	}
	a.here = false
	s.wake = make(chan struct{}, 1)
	s.running++
	s.handed = start(func() error {
		defer a.release()
		return s.loop(false)
	})
	return true
}

// release ends the attempt that keeps the caller. How it ends then says nothing: the
// call is over.
func (a *attempt) release() {
	s := a.call
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	a.stop()
}

// comeBack ends an attempt in the goroutine that has made it, and tells whether the
// loop has gone on without it.
func (a *attempt) comeBack(returned bool) (handed bool) {
	s := a.call
	if !returned {
		a.err = ErrPanicked
	}
	s.mu.Lock()
	a.here, handed = false, s.handed != nil
	s.mu.Unlock()
	if a.cancel != nil {
		s.client.shares.remove(a)
		if handed || !s.lingers() {
			a.cancel()
		}
	}
	if !handed {
		a.done = true
		return false
	}
	a.end()
	if !returned {
		<-s.handed.ended
	}
	return true
}

// lingers tells whether the contexts of a call are left to end by themselves: a wrapper
// inside of ours, of somebody else's, may go on with one in the background when its call
// has been answered, as it may with a bare client. It is told the end of an attempt that
// nobody waits for, and of contexts that would take longer to end than a call may.
func (s *call) lingers() bool {
	if !s.client.around && len(s.overrides.CallWrappers) == 0 || s.handed != nil || s.begun != nil {
		return false
	}
	return s.left() <= s.overrides.RequestTimeout
}
