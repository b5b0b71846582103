package wrapper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// Attempt is the story of one try of a call.
type Attempt struct {
	// Number counts from 1; a refused dial that was passed over has a number too.
	Number int
	// Address is the instance tried; empty when none could be chosen.
	Address string
	// Class is how the attempt ended; retryfunc.None if it was answered.
	Class retryfunc.Class
	// Began is when the attempt began, and Duration how long it took.
	Began    time.Time
	Duration time.Duration
	// Hedge tells that it began beside another, as WithHedge says.
	Hedge bool
	// Reason tells why the next attempt was made or was not; empty after success,
	// unless a hedge was due.
	Reason retryfunc.Reason
}

// String says it in one line, for logs.
func (a Attempt) String() string {
	address := a.Address
	if address == "" {
		address = "no node"
	}
	ended := a.Class.String()
	if a.Class == retryfunc.None {
		ended = "answered"
	}
	story := fmt.Sprintf("attempt %d on %s: %s after %s", a.Number, address, ended, a.Duration.Round(time.Microsecond))
	if a.Reason == "" {
		return story
	}
	return fmt.Sprintf("%s (%s)", story, a.Reason)
}

// Report is the story of one call, filled in when the call returns.
type Report struct {
	// Attempts are in the order in which they began; empty if none was made.
	Attempts []Attempt
	// Key is the idempotency key the call carried; empty if it carried none.
	// Repeat the call with idempotency.WithKey(ctx, Key) to finish what an
	// ambiguous end, see Ambiguous, left open.
	Key string
	// Err is what the call returned.
	Err error
	// Took is how long it took.
	Took time.Duration

	answered bool // Err is an answer, though not of the last attempt perhaps
}

type reportKey struct{}

// WithReport asks the next call made with the returned context to tell its
// story in r. The report is complete when the call has returned; it must not be
// read before, nor shared by concurrent calls. On one call, WithStory does the
// same.
func WithReport(ctx context.Context, r *Report) context.Context {
	return context.WithValue(ctx, reportKey{}, r)
}

// Class is how the attempt ended whose end is the call's, which is the last unless
// one before it was answered late; retryfunc.None if none was made, or if the call
// succeeded.
func (r Report) Class() retryfunc.Class {
	switch {
	case len(r.Attempts) == 0 || r.Err == nil:
		return retryfunc.None
	case r.answered:
		return retryfunc.Application
	}
	return r.Attempts[len(r.Attempts)-1].Class
}

// Ambiguous tells whether the call may have been executed, or may be even now,
// without its caller knowing the outcome: an attempt timed out, broke, was
// canceled or ended in a 500, or the service said that an earlier one runs or
// ended nobody knows how. A last attempt that only was refused does not change
// that; any other answer of the handler does, for a service that deduplicates
// gives it to every attempt. Repeat an ambiguous call with the same Key.
func (r Report) Ambiguous() bool {
	if r.Err == nil {
		return false
	}
	mark, ok := retryfunc.ParseMark(r.Err)
	if ok && (mark.Kind == retryfunc.MarkRunning || mark.Kind == retryfunc.MarkUnknown) {
		return true
	}
	return r.Class() != retryfunc.Application && slices.ContainsFunc(r.Attempts, Attempt.unclear)
}

// unclear tells whether the handler may have run and its answer is not known.
func (a Attempt) unclear() bool {
	switch a.Class {
	case retryfunc.Timeout, retryfunc.Broken, retryfunc.Internal, retryfunc.Canceled:
		return true
	default:
		return false
	}
}

// Saved tells what the call would have failed without, or would have taken longer.
func (r Report) Saved() Saved {
	if r.Err != nil {
		return SavedByNothing
	}
	for _, a := range r.Attempts {
		switch {
		case a.Class != retryfunc.None:
		case a.Hedge:
			return SavedByHedge
		case a.Number > 1:
			return SavedByRetry
		}
	}
	return SavedByNothing
}

// Story tells every attempt on one line, for logs.
func (r Report) Story() string {
	lines := make([]string, len(r.Attempts))
	for i, a := range r.Attempts {
		lines[i] = a.String()
	}
	return strings.Join(lines, "; ")
}

// ownError is an error of the wrapper's own, for a call that was not sent: in the
// form that go-micro's users expect, and in the one that errors.Is finds.
type ownError struct {
	micro *merrors.Error
	cause error
}

// Error is the text of go-micro's error.
func (e *ownError) Error() string { return e.micro.Error() }

// Unwrap returns both.
func (e *ownError) Unwrap() []error { return []error{e.micro, e.cause} }

// asOwn gives an error its code: the one that it suggests, else 400, for nothing
// was sent.
func asOwn(err error) error {
	code := int32(http.StatusBadRequest)
	var coded interface{ StatusCode() int }
	if errors.As(err, &coded) {
		code = codeOf(coded.StatusCode())
	}
	return &ownError{retryfunc.NewMarked(code, err.Error(), retryfunc.Mark{}), err}
}

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

// shown is an attempt as policies see it, and its place in the story. Where it
// never reached a node, or where another wrapper turned its reply into an error,
// the error itself has to say what happened; where it has not ended, it has
// outlasted its share.
func (s *call) shown(a *attempt) (int, retryfunc.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.entered {
		a.entered, a.entry = true, len(s.attempts)
		s.attempts = append(s.attempts, entry{Attempt: Attempt{Number: len(s.attempts) + 1, Began: s.began}, ended: true})
	}
	e := &s.attempts[a.entry]
	shown := retryfunc.Attempt{
		Class: e.Class, Number: e.Number, Address: e.Address, Duration: e.Duration,
		Safety: s.traits.safety, KeyTrusted: s.traits.trusted, Untried: s.nodes.Untried(),
		RetryAfter: e.after, NoRetry: e.noRetry,
	}
	switch {
	case !a.done:
		shown.Class, shown.Duration = retryfunc.Timeout, time.Since(e.Began)
		if a.dialing.pending() {
			shown.Class = retryfunc.NotSent
		}
	case !e.ended: // it was not waited for
		a.leave(e)
		shown.Class, shown.Duration = e.Class, e.Duration
	case e.Class == retryfunc.None:
		ev := s.evidence()
		ev.Answered = e.Address != "" // if it did not fail, as its class tells
		e.Class = s.classify(a.err, ev)
		shown.Class = e.Class
	}
	if !mayHaveRun(shown.Class) {
		shown.Class = s.classOfOthers(a, shown.Class)
	}
	return a.entry, shown
}

// leave ends an exchange in the story that runs on: go-micro returned when the
// context ended, or a wrapper inside ours gave it up. That wrapper's error, and its
// patience, say nothing of a peer that has not answered. The call must be locked.
func (a *attempt) leave(e *entry) {
	s := a.call
	ev := s.evidence()
	a.err = a.dialing.testify(&ev, a.err, false)
	switch class := s.classify(a.err, ev); class {
	case retryfunc.NotSent, retryfunc.Broken, retryfunc.Timeout, retryfunc.Canceled:
		a.fail(e, class, a.err)
	default:
		e.end(retryfunc.Timeout)
		s.report(e, breaker.Outrun)
	}
}

// classOfOthers is class, unless a wrapper inside ours has sent the request before
// within the same attempt, so that it may have run. The call must be locked.
func (s *call) classOfOthers(a *attempt, class retryfunc.Class) retryfunc.Class {
	for i := range s.attempts {
		e := &s.attempts[i]
		switch {
		case e.of != a || i == a.entry || e.ended && e.Class != retryfunc.None && !mayHaveRun(e.Class):
		case !e.ended:
			return retryfunc.Timeout
		case e.Class == retryfunc.None && a.err == nil:
			return retryfunc.Timeout // it calls yet
		case e.Class == retryfunc.None:
			ev := s.evidence()
			ev.Answered = true
			return s.classify(a.err, ev)
		default:
			return e.Class
		}
	}
	return class
}

// mayHaveRun tells whether the handler may have been executed by an attempt that
// failed so.
func mayHaveRun(class retryfunc.Class) bool {
	return class != retryfunc.NotSent && class != retryfunc.Refused && class != retryfunc.NoNode
}

// explain asks the policy about an attempt that failed with err, or is overdue.
func (s *call) explain(shown retryfunc.Attempt, err error) (retryfunc.Decision, error) {
	policy := s.overrides.policy
	if s.overrides.retry != nil {
		policy = s.overrides.retry
	}
	if policy == nil {
		return retryfunc.Explain(retryfunc.WithAttempt(s.ctx, &shown), retryfunc.Careful, s.req, s.count, err)
	}
	type said struct {
		retryfunc.Decision
		err error
	}
	ctx, req, count, copied := s.ctx, s.req, s.count, shown
	answer, overrun := ask(s, func() said {
		d, perr := retryfunc.Explain(retryfunc.WithAttempt(ctx, &copied), policy, req, count, err)
		return said{d, perr}
	})
	if overrun != nil {
		return s.undecided(shown, err, overrun), nil
	}
	return answer.Decision, answer.err
}

// undecided is the decision where the policy was not waited for.
func (s *call) undecided(shown retryfunc.Attempt, err, why error) retryfunc.Decision {
	d := retryfunc.Decision{Service: s.req.Service(), Endpoint: s.req.Endpoint(), Attempt: shown, Err: err}
	switch {
	case errors.Is(why, errAnswered):
		d.Reason = retryfunc.ReasonRunning
	case errors.Is(why, context.Canceled):
		d.Reason = retryfunc.ReasonCanceled
	default:
		d.Reason = retryfunc.ReasonDeadline
	}
	return d
}

// enter writes a decision into the story, and tells the observers.
func (s *call) enter(i int, d retryfunc.Decision) {
	s.setReason(i, d.Reason)
	s.tellDecided(d)
}

func (s *call) setReason(i int, reason retryfunc.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	if e.Reason == retryfunc.ReasonHedged && reason == retryfunc.ReasonRunning {
		return // it is its hedge that runs
	}
	e.Reason = reason
}

// markCounted notes that an attempt was counted, and tells whether it was before,
// and whether it went where another had been.
func (s *call) markCounted(i int) (before, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.attempts[i]
	before, e.counted = e.counted, true
	return before, e.again
}

// enterAbsence ends the story of a call that was sent nowhere.
func (s *call) enterAbsence(err error) {
	s.endpoint.absent.Store(time.Now().UnixNano())
	s.mu.Lock()
	if len(s.attempts) > 0 {
		s.mu.Unlock()
		return
	}
	s.attempts = append(s.attempts, entry{
		Attempt: Attempt{Number: 1, Class: retryfunc.NoNode, Began: s.began, Duration: time.Since(s.began)}, ended: true, counted: true,
	})
	s.mu.Unlock()
	s.enter(0, retryfunc.Decision{
		Service: s.req.Service(), Endpoint: s.req.Endpoint(),
		Attempt: retryfunc.Attempt{Number: 1, Class: retryfunc.NoNode}, Reason: retryfunc.ReasonAbsent, Err: err,
	})
}
