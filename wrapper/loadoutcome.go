package wrapper

import (
	"net/http"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// outcomeOf says what an attempt shows of its node's load. An instance that fails at
// once would look quick, so that what is no reason to eject it counts here: internal
// errors, and to be told that it is busy.
func outcomeOf(class retryfunc.Class, err error) selectorx.Outcome {
	if mark, ok := retryfunc.ParseMark(err); ok && (mark.Kind == retryfunc.MarkRunning || mark.Kind == retryfunc.MarkUnknown) {
		return selectorx.OutcomeCut // it speaks of another attempt
	}
	switch class {
	case retryfunc.None:
		return selectorx.OutcomeAnswered
	case retryfunc.Application:
		if retryfunc.FromGateway(err) || isBusy(err) {
			return selectorx.OutcomeFailed
		}
		return selectorx.OutcomeAnswered
	case retryfunc.Canceled, retryfunc.NoNode:
		return selectorx.OutcomeCut
	default:
		return selectorx.OutcomeFailed
	}
}

// isBusy tells whether an answer says that there is too much to do.
func isBusy(err error) bool {
	switch (wireErrors{}).micro(err).Code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	default:
		return false
	}
}
