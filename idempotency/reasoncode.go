package idempotency

import "errors"

// ReasonCode is a short name for why err was answered in the handler's place, such as
// "mismatch", for the labels of metrics: there are as many as there are reasons, "key" for
// a malformed key, and "other" for what is none of this package's. Of nil it is empty.
func ReasonCode(err error) string {
	if err == nil {
		return ""
	}
	for _, known := range [...]struct {
		reason error
		code   string
	}{
		{ErrMismatch, "mismatch"},
		{ErrRunning, "running"},
		{ErrWaitTimeout, "wait_timeout"},
		{ErrOutcomeUnknown, "outcome_unknown"},
		{ErrLeaseLost, "lease_lost"},
		{ErrExecutionTimeout, "execution_timeout"},
		{ErrExpired, "expired"},
		{ErrSuperseded, "superseded"},
		{ErrDraining, "draining"},
		{ErrUnavailable, "unavailable"},
		{ErrRolledBack, "rolled_back"},
		{ErrNotCommitted, "not_committed"},
		{ErrCommitUnknown, "commit_unknown"},
		{ErrCanceled, "canceled"},
		{ErrNoReply, "no_reply"},
		{ErrNotExecuted, "not_executed"},
		{ErrForeignKey, "foreign_key"},
		{ErrCorrupt, "corrupt"},
	} {
		if errors.Is(err, known.reason) {
			return known.code
		}
	}
	if _, ok := errors.AsType[*KeyError](err); ok {
		return "key"
	}
	return "other"
}
