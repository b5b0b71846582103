package wrapper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	merrors "go-micro.dev/v4/errors"

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

// Transparent tells whether the attempt at i took the place of the one before it, which
// was never sent, as gRPC calls it (A72); false for the first, for hedges, and where
// there is none.
func (r Report) Transparent(i int) bool {
	return i > 0 && i < len(r.Attempts) && !r.Attempts[i].Hedge && r.Attempts[i-1].Class == retryfunc.NotSent
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
