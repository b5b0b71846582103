package grpcguard

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// markID is the id of the errors in which a server speaks for itself, and not for
// its handler.
const markID = "oncemore"

// The marks of docs/wire.md.
const (
	markRefused = "refused" // nothing ran
	markRunning = "running" // a duplicate is running
	markUnknown = "unknown" // a duplicate ended nobody knows how
	markRelayed = "relayed" // the handler ran, and passes on an error of somebody else's
	// The handler ran, and no record is kept of its error, which stays its own.
	markUnsettled = "unsettled"
)

// codeOf is the code that tells clients which know no marks what one says.
func codeOf(refused *idempotency.Error) codes.Code {
	switch refused.Mark() {
	case markRefused:
		return codes.Unavailable
	case markRunning:
		return codes.Aborted
	case markUnknown:
		return codes.FailedPrecondition
	case markUnsettled:
		return codes.Internal
	default:
		return grpcCode(int32(refused.Code)) //nolint:gosec // a status has three digits
	}
}

// markText is the mark of a refusal, as a field of the service's error carries it.
func markText(service string, refused *idempotency.Error) string {
	mark := refused.Mark()
	if mark == "" {
		return http.StatusText(refused.Code)
	}
	text := mark + "; service=" + url.QueryEscape(service)
	if refused.RetryAfter > 0 {
		text += "; retry-after=" + refused.RetryAfter.String()
	}
	if refused.Released != 0 {
		text += fieldReleased + idempotency.FormatIssued(time.UnixMicro(refused.Released))
	}
	return text
}

// fieldReleased is before the attempt whose release made one look late.
const fieldReleased = "; released="

// released returns what a client says when it comes again after it was refused for
// its clock; empty if it was not.
func (e *wireError) released() string {
	if e.id != markID || !strings.HasPrefix(e.status, markRefused+";") {
		return ""
	}
	_, rest, _ := strings.Cut(e.status, fieldReleased)
	value, _, _ := strings.Cut(rest, ";")
	return value
}

// relayed returns an error of another server's, which the handler passes on, as
// this service's. The mark in it would speak for this one: what refused to run there
// did run here.
func (e *wireError) relayed(service string) wireError {
	other := *e
	if e.saysUnsettled() { // by the callee, and so far not by this service
		other.status = http.StatusText(int(e.code))
		return other
	}
	mark, rest, _ := strings.Cut(e.status, ";")
	noRetry := strings.Contains(rest+";", " no-retry;")
	switch strings.TrimSpace(mark) {
	case markRefused, markRunning, markUnknown, markRelayed:
		other.status = markRelayed + "; service=" + url.QueryEscape(service)
		if noRetry {
			other.status += "; no-retry"
		}
	}
	return other
}

// isUnsettled tells whether an error says that nothing was settled: by its mark, also
// one that was passed on, or because it found the record of another call.
func (e *wireError) isUnsettled() bool {
	if e.saysUnsettled() {
		return true
	}
	if e.id != markID {
		return false
	}
	mark, _, _ := strings.Cut(e.status, ";")
	switch strings.TrimSpace(mark) {
	case markRefused, markRunning, markUnknown, markRelayed:
		return true
	}
	return e.isMismatch()
}

// saysUnsettled tells whether the server that gave the error keeps no record of it.
func (e *wireError) saysUnsettled() bool { return strings.HasPrefix(e.status, markUnsettled+";") }

// isMismatch tells whether a call found the record of another one under its key. The
// handler that made it, or one further down, makes its calls in another order than in a
// former run.
func (e *wireError) isMismatch() bool {
	return e.id == markID && e.code == http.StatusUnprocessableEntity
}
