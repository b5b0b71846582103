package idempotency

import (
	"errors"
	"fmt"
	"time"
)

// reasonError is a reason with the status that tells a client.
type reasonError struct {
	code       int
	mark       string // see [Error.Mark]
	retryAfter time.Duration
	text       string
	settles    bool // asking again brings the same answer
}

func (e *reasonError) Error() string { return e.text }

// The marks of docs/wire.md.
const (
	markRefused   = "refused"
	markRunning   = "running"
	markUnknown   = "unknown"
	markUnsettled = "unsettled"
)

// retrySoon is the advice to those who found a duplicate running, or nothing
// that would run theirs.
const retrySoon = time.Second

// The reasons for which [Guard.Do] does not answer with the handler's own
// answer. Every one comes as an [*Error], which says what to tell the client.
var (
	// ErrMismatch: the key was used with another request. To a handler whose own call
	// is answered so it settles nothing: what it asked for was not done, and may be
	// once it makes its calls in the order of its first run, or names its steps.
	ErrMismatch error = &reasonError{422, "", 0, "this idempotency key was used with another request; " +
		"mint a new key for a new request, and where several calls share one, name each with idempotency.WithStep", false}
	// ErrRunning: a duplicate is running, and waiting was not allowed.
	ErrRunning error = &reasonError{409, markRunning, retrySoon, "a request with this idempotency key is still running; ask again", false}
	// ErrWaitTimeout: a duplicate is running, and the wait for it ended.
	ErrWaitTimeout error = &reasonError{408, markRunning, retrySoon, "a request with this idempotency key is still running after the longest wait; ask again", false}
	// ErrOutcomeUnknown: the execution ended without a record; whether its
	// work was done is not known.
	ErrOutcomeUnknown error = &reasonError{409, markUnknown, 0, "the outcome of the request with this idempotency key is unknown; it must be looked up before it is repeated", false}
	// ErrLeaseLost: the execution lost its lease, and its answer was not
	// recorded. It is also the cause with which a handler's context is
	// cancelled.
	ErrLeaseLost error = &reasonError{409, markRunning, retrySoon, "the execution lost its lease; ask again for the outcome", false}
	// ErrExecutionTimeout is the cause with which a handler's context ends
	// when the execution has taken too long.
	ErrExecutionTimeout error = &reasonError{500, "", 0, "the execution took longer than its timeout", false}
	// ErrExpired: the key is older than the memory of it.
	ErrExpired error = &reasonError{412, "", 0, "this idempotency key is older than the retention of its record; look the outcome up, then use a new key", true}
	// ErrSuperseded: by the clock of its sender this attempt was sent before one
	// that has been executed and released. Whoever sent it may be gone.
	ErrSuperseded error = &reasonError{409, markRefused, 0, "a later attempt of this request has run and changed nothing; this one is late, unless it is sent again", false}
	// ErrUnavailable: the store did not answer, and nothing was executed.
	ErrUnavailable error = &reasonError{503, markRefused, retrySoon, "the idempotency store is unavailable; nothing was executed", false}
	// ErrRolledBack: the transaction was rolled back, and nothing has happened.
	ErrRolledBack error = &reasonError{503, markRefused, retrySoon, "the transaction was rolled back; nothing has happened", false}
	// ErrNotCommitted: the transaction could not be committed, and could not the
	// next time, as with a constraint that is checked at the commit. Nothing has
	// happened. It is answered as the handler's own failure.
	ErrNotCommitted error = &reasonError{500, markUnsettled, 0, "the transaction cannot be committed; nothing has happened", false}
	// ErrCommitUnknown: the connection broke during the commit, and the store
	// could not be asked for the outcome.
	ErrCommitUnknown error = &reasonError{500, markRunning, retrySoon, "the outcome of the commit is unknown; ask again", false}
	// ErrCanceled: the caller left before anything was executed.
	ErrCanceled error = &reasonError{408, markRefused, 0, "the caller left before anything was executed", false}
	// ErrDraining: this process is stopping and executes nothing new.
	ErrDraining error = &reasonError{503, markRefused, retrySoon, "this instance is stopping; nothing was executed", false}
	// ErrNoReply: the call was executed once, but its reply was not kept, because
	// it is too large or does not come back equal from a record.
	ErrNoReply error = &reasonError{410, "", 0, "the request was executed, but its reply was not kept", true}
	// ErrNotExecuted is what [Entry.Replay] says of a key that is free.
	ErrNotExecuted error = &reasonError{404, "", 0, "no execution of a request with this idempotency key is known", true}
	// ErrForeignKey: the key was made for another call and leaked into this one.
	ErrForeignKey error = &reasonError{400, "", 0, "this idempotency key was made for another call", true}
	// ErrCorrupt: the record in the store is damaged.
	ErrCorrupt error = &reasonError{500, markUnknown, 0, "the record of the request with this idempotency key is damaged; look the outcome up", false}
)

// Error is an answer that [Guard] gives in the handler's place.
type Error struct {
	// Reason is one of the Err variables of this package: errors.Is finds it.
	Reason error
	// Code is the HTTP status that tells the client.
	Code int
	// NothingRan says that this attempt has changed nothing, so that it may be
	// repeated as far as it is concerned.
	NothingRan bool
	// RetryAfter is when to ask again; 0 when there is nothing to advise.
	RetryAfter time.Duration
	// Released, for ErrSuperseded, is the attempt that was released, as in
	// [Call].Attempt. A caller who still waits asks again, and says that it knows
	// of that one ([Call].Released): its clock may only be slow.
	Released int64
	// Err is the cause, for the service's own log. It is not part of what a
	// client should see. May be nil.
	Err error
}

// Error says what happened and what to do, and its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return "idempotency: " + e.Reason.Error()
	}
	return fmt.Sprintf("idempotency: %v: %v", e.Reason, e.Err)
}

// Unwrap returns the reason and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// StatusCode returns Code.
func (e *Error) StatusCode() int { return e.Code }

// Mark is what a caller may conclude from the reason, in the word that a server
// puts on the wire: refused (nothing ran), running (a duplicate does), unknown (one
// ended nobody knows how) or unsettled (the handler ran, and nothing is kept of it).
// It is empty where the code alone tells: of a mismatch or an old key nothing ran,
// and nothing would the next time.
func (e *Error) Mark() string {
	known, ok := errors.AsType[*reasonError](e.Reason)
	if !ok {
		return ""
	}
	return known.mark
}

// Unsettled reports whether the answer says nothing about the outcome of the
// request: it was refused, or a duplicate still runs, or ended nobody knows how.
// It implements [Unsettled].
func (e *Error) Unsettled() bool {
	known, ok := errors.AsType[*reasonError](e.Reason)
	return !ok || !known.settles
}

// refusal is an answer to an attempt that has changed nothing.
func refusal(reason, cause error) *Error {
	e := answer(reason, cause)
	e.NothingRan = true
	if coded, ok := errors.AsType[interface {
		error
		StatusCode() int
	}](cause); ok { // the store knows better
		e.Code = coded.StatusCode()
	}
	return e
}

// unsettled is an answer by which the caller does not learn whether the
// request has been executed.
func unsettled(reason, cause error) *Error { return answer(reason, cause) }

func answer(reason, cause error) *Error {
	e := &Error{Reason: reason, Code: 500, Err: cause}
	if known, ok := errors.AsType[*reasonError](reason); ok {
		e.Code, e.RetryAfter = known.code, known.retryAfter
	}
	return e
}

// PanicError is a handler's panic, or its end by runtime.Goexit. It is
// recorded as a bare 500: what was panicked with is for the log, not for
// clients.
type PanicError struct {
	// Value is what was panicked with; nil after runtime.Goexit.
	Value any
	// Stack is the stack of the goroutine at the panic.
	Stack []byte
}

// Error says what the handler did, with the value.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "idempotency: the handler ended its goroutine"
	}
	return fmt.Sprintf("idempotency: the handler panicked: %v", e.Value)
}

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// StatusCode is 500.
func (e *PanicError) StatusCode() int { return 500 }
