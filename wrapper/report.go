package wrapper

import (
	"context"
	"errors"
	"fmt"
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
	// Duration is how long the attempt took.
	Duration time.Duration
	// Reason tells why the next attempt was made or was not; empty after success.
	Reason retryfunc.Reason
}

// String says it in one line, for logs.
func (a Attempt) String() string {
	address := a.Address
	if address == "" {
		address = "no node"
	}
	return fmt.Sprintf("attempt %d on %s: %s after %s (%s)",
		a.Number, address, a.Class, a.Duration.Round(time.Microsecond), a.Reason)
}

// Report is the story of one call, filled in when the call returns.
type Report struct {
	// Attempts are in the order in which they began.
	Attempts []Attempt
	// Key is the idempotency key the call carried; empty if it carried none.
	Key string
}

type reportKey struct{}

// WithReport asks the next call made with the returned context to tell its
// story in r. The report is complete when the call has returned; it must not be
// read before, nor shared by concurrent calls.
func WithReport(ctx context.Context, r *Report) context.Context {
	return context.WithValue(ctx, reportKey{}, r)
}

// CallError is what a wrapped client's Call and Stream return when they fail:
// the error that go-micro gave, and what led to it. Its text is the original's,
// so errors.Parse and errors.FromError of go-micro read it as before; errors.As
// finds the original, and a *errors.Error whether or not the original is one.
type CallError struct {
	// Attempts are in the order in which they began; empty if none was made.
	Attempts []Attempt
	// Key is the idempotency key the call carried; empty if it carried none.
	// Repeat the call with idempotency.WithKey(ctx, Key) to finish what an
	// ambiguous error, see Ambiguous, left open.
	Key string

	err error
}

// Error returns the text of the original error, unchanged.
func (e *CallError) Error() string { return e.err.Error() }

// Unwrap returns the original error.
func (e *CallError) Unwrap() error { return e.err }

// As lets errors.As find a *errors.Error of go-micro even where go-micro itself
// returned only its text, as the mucp client does for a handler's error.
func (e *CallError) As(target any) bool {
	t, ok := target.(**merrors.Error)
	if !ok {
		return false
	}
	var original *merrors.Error
	if !errors.As(e.err, &original) {
		original = asMicro(e.err)
	}
	*t = original
	return true
}

// asMicro gives err the form that go-micro's users expect: an error of this
// module by the code it suggests, any other by what its text says.
func asMicro(err error) *merrors.Error {
	var coded interface{ StatusCode() int }
	if !errors.As(err, &coded) {
		return merrors.Parse(err.Error())
	}
	code := codeOf(coded.StatusCode())
	return retryfunc.NewMarked(code, err.Error(), retryfunc.Mark{})
}

// Class is how the last attempt ended; retryfunc.None if none was made.
func (e *CallError) Class() retryfunc.Class {
	if len(e.Attempts) == 0 {
		return retryfunc.None
	}
	return e.Attempts[len(e.Attempts)-1].Class
}

// Ambiguous tells whether the call may have been executed, or may be even now,
// without its caller knowing the outcome: an attempt timed out, broke, was
// canceled or ended in a 500, or the service said that an earlier one runs or
// ended nobody knows how. A last attempt that only was refused does not change
// that; any other answer of the handler does, for a service that deduplicates
// gives it to every attempt. Repeat an ambiguous call with the same Key.
func (e *CallError) Ambiguous() bool {
	if mark, ok := retryfunc.ParseMark(e.err); ok && (mark.Kind == retryfunc.MarkRunning || mark.Kind == retryfunc.MarkUnknown) {
		return true
	}
	return e.Class() != retryfunc.Application && slices.ContainsFunc(e.Attempts, Attempt.unclear)
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

// Story tells every attempt on one line, for logs.
func (e *CallError) Story() string {
	lines := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		lines[i] = a.String()
	}
	return strings.Join(lines, "; ")
}
