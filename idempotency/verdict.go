package idempotency

import (
	"context"
	"errors"
)

// Verdict says what becomes of a key whose handler has ended with an error.
type Verdict uint8

const (
	// VerdictByOutcome decides by what the error says about the outcome, see
	// [WithErrorPolicy]. It is the zero value and the default.
	VerdictByOutcome Verdict = iota
	// VerdictRecord records the error: duplicates get it too.
	VerdictRecord
	// VerdictRelease releases the key: a duplicate executes again.
	VerdictRelease
)

// Unsettled is implemented by an error that knows whether it is an answer at all.
// One whose Unsettled is true says nothing about the outcome of what was asked,
// such as that a callee refused the call, or still runs an earlier one. [*Error]
// implements it; so may the errors of whatever a handler calls.
type Unsettled interface {
	error
	Unsettled() bool
}

// verdict decides what becomes of a handler's error. outOfTime says that the
// handler did not end within its execution timeout.
func (o *Options) verdict(err error, transactional, outOfTime bool) Verdict {
	switch markOf(err) {
	case markNotDone:
		return VerdictRelease
	case markFinal, markFinalKeepWrites:
		return VerdictRecord
	case unmarked:
	}
	if v := o.errorPolicy(err); v != VerdictByOutcome {
		return v
	}
	switch o.tells(err, outOfTime) {
	case tellsAnswer:
		return VerdictRecord
	case tellsNothing:
		return VerdictRelease
	default:
	}
	if transactional {
		return VerdictRelease
	}
	return VerdictRecord
}

// telling is what an error says about the outcome of an execution.
type telling uint8

const (
	// tellsFailure: the handler broke off, and nobody knows how far it had come.
	tellsFailure telling = iota
	// tellsAnswer: it is the handler's answer.
	tellsAnswer
	// tellsNothing: it is no answer; asking again may bring one.
	tellsNothing
)

// tells reads an error, which has no mark. A handler that has used up its whole
// time was cut off: that something in it ended for lack of time is no news then.
func (o *Options) tells(err error, outOfTime bool) telling {
	if _, panicked := errors.AsType[*PanicError](err); panicked {
		return tellsFailure
	}
	if unsettled, ok := errors.AsType[Unsettled](err); ok && unsettled.Unsettled() {
		return tellsNothing
	}
	code := o.encode(err).Code
	switch {
	case isTransient(code), ranOutOfTime(err) && !isFinal(code):
		if outOfTime {
			return tellsFailure
		}
		return tellsNothing
	case isFinal(code):
		return tellsAnswer
	}
	return tellsFailure
}

// isTransient reports whether a status asks to try again: 408 Request Timeout,
// 425 Too Early, 429 Too Many Requests, 503 Service Unavailable.
func isTransient(code int32) bool {
	return code == 408 || code == 425 || code == 429 || code == 503
}

// isFinal reports whether a status, that does not ask to try again, will be the
// same the next time.
func isFinal(code int32) bool { return code > 0 && code < 500 }

// ranOutOfTime reports whether err is that of a context that has ended, or says
// of itself that it is a timeout, as those of package net do.
func ranOutOfTime(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}

func (o *Options) encode(err error) *RecordedError {
	if _, ok := errors.AsType[*PanicError](err); ok {
		return &RecordedError{Code: 500, Detail: "the handler panicked", Status: "Internal Server Error"}
	}
	if recorded := o.encodeError(err); recorded != nil {
		return recorded
	}
	return recordedError(err)
}

func recordedError(err error) *RecordedError {
	if recorded, ok := errors.AsType[*RecordedError](err); ok {
		return recorded
	}
	recorded := &RecordedError{Code: 500, Detail: err.Error()}
	var coded interface{ StatusCode() int }
	if errors.As(err, &coded) {
		recorded.Code = int32(coded.StatusCode()) //nolint:gosec // a status has three digits
	}
	return recorded
}
