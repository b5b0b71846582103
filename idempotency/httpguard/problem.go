package httpguard

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/internal/problem"
)

// kindOf names the type of problem that is behind a reason of the guard's.
func kindOf(reason error) (name, title string) {
	//nolint:errorlint // reasons are the variables themselves
	switch reason {
	case idempotency.ErrMismatch:
		return "key-used", "Idempotency key used with another request"
	case idempotency.ErrRunning, idempotency.ErrWaitTimeout, idempotency.ErrLeaseLost, idempotency.ErrCommitUnknown:
		return "running", "Request still running"
	case idempotency.ErrOutcomeUnknown, idempotency.ErrCorrupt:
		return "outcome-unknown", "Outcome unknown"
	case idempotency.ErrExpired:
		return "key-expired", "Idempotency key expired"
	case idempotency.ErrSuperseded:
		return "late", "Request late"
	case idempotency.ErrUnavailable, idempotency.ErrRolledBack, idempotency.ErrDraining, idempotency.ErrCanceled:
		return "refused", "Request not executed"
	case idempotency.ErrNoReply:
		return "not-kept", "Response not kept"
	case idempotency.ErrForeignKey:
		return "bad-key", "Bad idempotency key"
	}
	return "failed", "Request failed"
}

// writeError answers with an error that the guard, or this package, gives in the
// handler's place. Its cause stays here: it may name hosts or users.
func writeError(w http.ResponseWriter, err error) {
	if refused, ok := errors.AsType[*idempotency.Error](err); ok {
		name, title := kindOf(refused.Reason)
		d := problem.Details{
			Name: name, Title: title, Status: validStatus(refused.Code),
			Detail: refused.Reason.Error(), RetryAfter: refused.RetryAfter,
		}
		if refused.Released != 0 {
			d.Members = map[string]any{"released": idempotency.FormatIssued(time.UnixMicro(refused.Released))}
		}
		problem.Write(w, d)
		return
	}
	if malformed, ok := errors.AsType[*idempotency.KeyError](err); ok {
		problem.Write(w, problem.Details{
			Name: "bad-key", Title: "Bad idempotency key", Status: http.StatusBadRequest, Detail: malformed.Error(),
		})
		return
	}
	status := http.StatusInternalServerError
	if coded, ok := errors.AsType[interface {
		error
		StatusCode() int
	}](err); ok {
		status = validStatus(coded.StatusCode())
	}
	problem.Write(w, problem.Details{
		Name: "failed", Title: cmp.Or(http.StatusText(status), "Request failed"), Status: status,
		Detail: "the request failed; ask whoever runs this service",
	})
}

// writeNoBody answers the repetition of a request whose response was not kept.
func writeNoBody(w http.ResponseWriter, r *Response) {
	d := problem.Details{
		Name: "not-kept", Title: "Response not kept", Status: http.StatusGone,
		Detail: "the request was executed, but its response was not kept: " + r.Dropped,
	}
	if r.Status != 0 {
		d.Members = map[string]any{"response_status": r.Status}
	}
	w.Header().Set(idempotency.HeaderReplayed, "true")
	problem.Write(w, d)
}
