package wrapper

import (
	"context"
	"errors"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// report tells the breaker what an attempt showed of its node. The call must be
// locked.
func (s *call) report(a *attempt, err error) {
	s.client.breaker.Report(a.Address, eventOf(a.Class, err), a.began, a.Duration)
}

// eventOf says what an attempt shows of its node. An answer is a sign of life,
// whatever it says. What oncemore's own server side answers (still running,
// store down) says nothing of the node, and an internal error nothing yet: the
// request may be to blame.
func eventOf(class retryfunc.Class, err error) breaker.Event {
	if _, marked := retryfunc.ParseMark(err); marked {
		return breaker.Ignored
	}
	switch class {
	case retryfunc.None, retryfunc.Application:
		return breaker.Success
	case retryfunc.NotSent:
		return breaker.Refused
	case retryfunc.Broken:
		return breaker.Broken
	case retryfunc.Timeout:
		return breaker.Timeout
	default:
		return breaker.Ignored
	}
}

// blameInternal counts the internal errors of a call that was then answered by
// another node: so it was not the request. The call must be locked.
func (s *call) blameInternal() {
	if len(s.attempts) < 2 {
		return
	}
	answered := s.attempts[len(s.attempts)-1]
	for _, a := range s.attempts[:len(s.attempts)-1] {
		if a.Class == retryfunc.Internal && a.Address != answered.Address {
			s.client.breaker.Report(a.Address, breaker.Failure, a.began, a.Duration)
		}
	}
}

// abandonRunning ends, in the story, the attempts that go-micro did not wait
// for. Their nodes took longer than the caller had, unless it cancelled. The
// call must be locked.
func (s *call) abandonRunning() {
	class, reason := retryfunc.Timeout, retryfunc.ReasonDeadline
	if errors.Is(s.ctx.Err(), context.Canceled) {
		class, reason = retryfunc.Canceled, retryfunc.ReasonCanceled
	}
	for i := range s.attempts {
		a := &s.attempts[i]
		if a.ended {
			continue
		}
		a.Class, a.Reason, a.Duration = class, reason, time.Since(a.began)
		s.report(a, nil)
	}
}
