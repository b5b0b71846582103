package wrapper

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// ErrPanicked is the error in the story of a call that has none to return: one of
// the caller's own functions panicked, or ended the goroutine that made the call.
var ErrPanicked = errors.New("wrapper: a function of the caller's panicked, or ended its goroutine, while the call was made")

// end ends the call's story, tells it to whoever asked, and returns the error.
func (s *call) end(err error) error {
	s.conclude(err)
	defer s.tell(err) // whatever the hooks of the breaker do
	s.reportNodes()
	s.checkNames(err)
	return err
}

// conclude ends the story.
func (s *call) conclude(err error) {
	s.mu.Lock()
	s.over, s.concluded = true, true
	s.closeHedge()
	s.abandonRunning(err)
	s.learnDials(err)
	if err == nil {
		s.blameInternal()
	}
	done := s.traits.done
	s.mu.Unlock()
	s.tellHandler(err)
	if err == nil && s.running > 0 {
		s.awaitReaders()
	}
	if done != nil {
		s.endKey(done, s.answer, err)
	}
}

// awaitReaders returns when no attempt reads the caller's request any more, which
// is the caller's to write to again.
func (s *call) awaitReaders() {
	s.reading.Lock()
	defer s.reading.Unlock()
}

// tell tells the story to whoever asked for it, the log and the observers.
func (s *call) tell(err error) {
	asked, _ := s.ctx.Value(reportKey{}).(*Report)
	for _, to := range [...]*Report{asked, s.overrides.report} {
		if to != nil {
			*to = s.story(err)
		}
	}
	s.client.log.ended(s, err)
	s.tellEnd(err)
}

// story is a copy of the story, for its reader to keep.
func (s *call) story(err error) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	attempts := make([]Attempt, len(s.attempts))
	for i, e := range s.attempts {
		attempts[i] = e.Attempt
	}
	return Report{Attempts: attempts, Key: s.carriedKey(), Err: err, Took: time.Since(s.began), answered: s.answer}
}

// abandonRunning ends, in the story, the attempts that were not waited for:
// another was answered first, or the caller's time ended. The call must be locked.
func (s *call) abandonRunning(err error) {
	class, reason, event := retryfunc.Timeout, retryfunc.ReasonOutrun, breaker.Outrun
	switch {
	case errors.Is(s.ctx.Err(), context.Canceled) && err != nil, errors.Is(err, ErrPanicked):
		class, reason, event = retryfunc.Canceled, retryfunc.ReasonCanceled, s.eventOfCancel()
	case s.ctx.Err() != nil && err != nil:
		reason, event = retryfunc.ReasonDeadline, breaker.Timeout
	}
	for i := range s.attempts {
		if e := &s.attempts[i]; !e.ended {
			s.abandon(e, class, event)
			if e.outrun = event == breaker.Outrun; e.outrun {
				s.learnRace(e)
			}
			e.Reason = cmp.Or(e.Reason, reason)
		}
	}
}

func (s *call) abandon(e *entry, class retryfunc.Class, event breaker.Event) {
	if e.dials.giveUp() && class != retryfunc.Canceled {
		class, event, e.unreached = retryfunc.NotSent, breaker.Unreachable, true
	}
	if event != breaker.Outrun || e.of == nil || !e.of.testifies(e.Address) {
		e.dials.stop(context.Canceled)
	}
	e.end(class)
	if event == breaker.Timeout {
		s.learnHedge(class, nil)
	}
	s.report(e, event)
}

// blameInternal counts the internal errors of a call that was then answered by
// another node: so it was not the request. The call must be locked.
func (s *call) blameInternal() {
	if s.replied == nil || !s.replied.entered {
		return
	}
	answered := s.attempts[s.replied.entry]
	for _, e := range s.attempts {
		if e.Class == retryfunc.Internal && e.Address != answered.Address {
			s.report(&e, breaker.Failure)
		}
	}
}
