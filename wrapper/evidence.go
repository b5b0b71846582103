package wrapper

import (
	"context"
	"errors"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// evidence is what is known of any attempt of this call.
func (s *call) evidence() retryfunc.Evidence {
	return retryfunc.Evidence{Client: string(s.client.transport), Service: s.req.Service()}
}

// classify says how an attempt ended. A caller who cancelled explains every
// error, whatever text go-micro put on it.
func (s *call) classify(err error, ev retryfunc.Evidence) retryfunc.Class {
	if errors.Is(s.ctx.Err(), context.Canceled) {
		return retryfunc.Canceled
	}
	return retryfunc.Classify(err, ev)
}

// eventOf says what an attempt shows of its node. An answer is a sign of life,
// whatever it says, unless a proxy gave it in the node's place. What oncemore's
// own server side answers (still running, store down) says nothing of the node,
// and an internal error nothing yet: the request may be to blame.
func eventOf(class retryfunc.Class, err error, dialTimedOut bool) breaker.Event {
	if mark, marked := retryfunc.ParseMark(err); marked && !mark.Kind.OfHandler() {
		return breaker.Ignored
	}
	switch class {
	case retryfunc.None:
		return breaker.Success
	case retryfunc.Application:
		if retryfunc.FromGateway(err) {
			return breaker.Ignored
		}
		return breaker.Success
	case retryfunc.NotSent:
		if dialTimedOut {
			return breaker.Unreachable
		}
		return breaker.Refused
	case retryfunc.Broken:
		if e, ok := merrors.As(err); ok && e.Id == "go.micro.client.codec" {
			return breaker.Ignored // an endpoint may answer with nothing, always, and its instance be well
		}
		return breaker.Broken
	case retryfunc.Timeout:
		return breaker.Timeout
	default:
		return breaker.Ignored
	}
}

// report notes for the balance and the breaker what an attempt showed of its node.
// That a caller's time ended, or that another attempt was faster, counts only where
// the attempt was given what the endpoint usually takes: less is impatience. The call
// must be locked.
func (s *call) report(e *entry, event breaker.Event) {
	if s.impatient(e, event) {
		event, e.outcome = breaker.Ignored, selectorx.OutcomeCut
	}
	e.load.End(e.outcome, e.Duration)
	if s.outcomes == nil {
		s.outcomes = s.oneOutcome[:0]
	}
	s.outcomes = append(s.outcomes, outcome{e.Address, event, e.Began, e.Duration})
}

// outcome is what an attempt showed of its node.
type outcome struct {
	address string
	event   breaker.Event
	began   time.Time
	took    time.Duration
}

// reportNodes hands on what attempts have shown.
func (s *call) reportNodes() {
	s.client.reportOutcomes(s.takeOutcomes())
	s.client.reportOutcomes(s.client.lateAnswers.take())
}

// reportOutcomes tells the breaker, under no lock: it calls hooks of the user's.
func (c *retryClient) reportOutcomes(outcomes []outcome) {
	for _, o := range outcomes {
		c.breaker.Report(o.address, o.event, o.began, o.took)
	}
}

func (s *call) takeOutcomes() []outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outcomes) == 0 {
		return nil
	}
	taken := s.outcomes
	s.outcomes = taken[len(taken):] // the next one has a place of its own
	return taken
}

// impatient tells whether the event says more of the caller than of the node.
func (s *call) impatient(e *entry, event breaker.Event) bool {
	patience := s.patience()
	switch event {
	case breaker.Outrun:
	case breaker.Timeout:
		if s.left() > e.Duration/8 {
			return false // it was not the caller's time that ended
		}
	case breaker.Unreachable:
		patience = min(patience, leastDial)
	case breaker.Broken: // so go-micro's grpc client calls a connection that it had not when the caller's time ended
		if deadline, ok := s.ctx.Deadline(); !ok || e.Began.Add(e.Duration).Before(deadline) {
			return false
		}
	default:
		return false
	}
	given := e.Duration
	if deadline, ok := s.ctx.Deadline(); ok { // by which a busy machine may have been late
		given = min(given, deadline.Sub(e.Began))
	}
	return given < patience
}

// patience is how long an attempt must have waited to speak against its node.
func (s *call) patience() time.Duration {
	if known := s.endpoint.latency.usual(); known > 0 {
		return known
	}
	return untold
}
