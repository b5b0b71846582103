package wrapper

import (
	"context"
	"errors"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// decide is the RetryFunc that go-micro's loop asks after a failed attempt.
// First the policy says whether a retry is right, then the limits say whether
// it is possible.
func (s *call) decide(ctx context.Context, req client.Request, count int, err error) (bool, error) {
	if err == nil {
		return false, nil
	}
	if s.settled() {
		return false, nil
	}
	a := s.failed(err)
	d, perr := retryfunc.Explain(retryfunc.WithAttempt(ctx, &a), s.policy(), req, count, err)
	if d.Retry {
		s.admit(ctx, &d, count)
	}
	s.enter(d)
	if s.client.hook != nil {
		s.client.hook(ctx, d)
	}
	return d.Retry, perr
}

// settled tells whether there is nothing to decide: the call could not be sent
// at all, which no retry mends, or it is over, and whoever asks is a client that
// another wrapper has given up.
func (s *call) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || s.unsendable != nil
}

func (s *call) policy() client.RetryFunc {
	if s.asked.retry != nil {
		return s.asked.retry
	}
	if s.client.policy != nil {
		return s.client.policy
	}
	return retryfunc.Careful
}

// failed describes the attempt that ended with err. Where no attempt was made,
// or where another wrapper turned its reply into an error, the error itself has
// to say what happened.
func (s *call) failed(err error) retryfunc.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.lastEnded()
	answered := last != nil // if it did not fail, as its class tells
	if last == nil {
		s.attempts = append(s.attempts, attempt{Attempt: Attempt{Number: len(s.attempts) + 1}, ended: true})
		last = &s.attempts[len(s.attempts)-1]
	}
	if last.Class == retryfunc.None {
		ev := s.evidence()
		ev.Answered = answered
		last.Class = s.classify(err, ev)
	}
	last.judged = true
	a := retryfunc.Attempt{
		Class: last.Class, Number: last.Number, Address: last.Address, Duration: last.Duration,
		Untried: s.nodes.Untried(),
	}
	if s.terms != nil {
		a.Safety, a.KeyTrusted = s.terms.safety, s.terms.trusted
	}
	return a
}

// lastEnded is the last attempt, if it has ended and nothing was decided about
// it yet: then it is the one that the loop asks about.
func (s *call) lastEnded() *attempt {
	if len(s.attempts) == 0 {
		return nil
	}
	last := &s.attempts[len(s.attempts)-1]
	if !last.ended || last.judged {
		return nil
	}
	return last
}

// admit holds the policy's yes against the limits, in the order of what they
// cost: attempts, time, and last the budget, so that it never pays for a retry
// that something else forbids.
func (s *call) admit(ctx context.Context, d *retryfunc.Decision, count int) {
	free, spent := s.charge(d.Attempt)
	switch {
	case ctx.Err() != nil:
		refuse(d, retryfunc.ReasonCanceled)
	case spent:
		refuse(d, retryfunc.ReasonAttempts)
	case !s.delayed(ctx, d, count):
		refuse(d, retryfunc.ReasonDeadline)
	case !free && !s.client.budget.Withdraw():
		refuse(d, retryfunc.ReasonBudget)
	}
}

// delayed adds the pause before the retry, and tells whether it ends within the
// call's time. It is asked only where the retry may yet be made, because the
// caller's own backoff may wait itself.
func (s *call) delayed(ctx context.Context, d *retryfunc.Decision, count int) bool {
	d.Delay = max(d.Delay, s.pause(ctx, d.Attempt.Untried, count))
	if errors.Is(s.backoffErr, context.DeadlineExceeded) {
		return false
	}
	deadline, limited := ctx.Deadline()
	return !limited || time.Until(deadline) > d.Delay
}

func refuse(d *retryfunc.Decision, why retryfunc.Reason) {
	d.Retry, d.Reason, d.Delay = false, why, 0
}

// pause is how long to wait before the next attempt. An untried node need not
// be waited for: nothing says that it is in trouble.
func (s *call) pause(ctx context.Context, untried bool, count int) time.Duration {
	if s.asked.backoff != nil {
		d, err := s.asked.backoff(ctx, s.req, count+1)
		s.backoffErr = err
		return d
	}
	if untried {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.backoff.Delay(max(1, s.charged+s.unsent))
}

// charge counts a failed attempt, and tells whether it was free and whether the
// call has used up the attempts it may make.
//
// A refused dial is free where it is this call's first to that node and another
// node is left: so a call finds the one living instance among any number of
// dead ones. Other refused dials have a count of their own, and leave the
// attempts that are sent to the living.
func (s *call) charge(a retryfunc.Attempt) (free, spent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.Class != retryfunc.NotSent:
		s.charged++
	case s.attempts[a.Number-1].again || !s.nodeLeft():
		s.unsent++
	default:
		return true, false
	}
	return false, max(s.charged, s.unsent) >= s.limit()
}

// nodeLeft tells whether there is a node that this call has not tried, ejected
// or not.
func (s *call) nodeLeft() bool {
	for _, service := range s.nodes.Services() {
		for _, node := range service.Nodes {
			if !s.nodes.Tried(node.Address) {
				return true
			}
		}
	}
	return false
}

// enter writes the decision into the story of the attempt it is about.
func (s *call) enter(d retryfunc.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d.Delay
	s.attempts[d.Attempt.Number-1].Reason = d.Reason
}

// wait is the BackoffFunc that go-micro's loop asks before each attempt. It
// waits itself, on the context, because go-micro's own sleep does not; an error
// keeps an attempt from starting after its caller has gone.
func (s *call) wait(ctx context.Context, req client.Request, count int) (time.Duration, error) {
	if count == 0 {
		return 0, s.initialWait(ctx, req)
	}
	if s.backoffErr != nil {
		return 0, s.backoffErr
	}
	return 0, retryfunc.Wait(ctx, s.delay)
}

// initialWait honours a backoff that the caller asked for in this call: it may
// want a delay before the first attempt.
func (s *call) initialWait(ctx context.Context, req client.Request) error {
	if s.asked.backoff == nil {
		return nil
	}
	d, err := s.asked.backoff(ctx, req, 0)
	if err != nil {
		return err
	}
	return retryfunc.Wait(ctx, d)
}
