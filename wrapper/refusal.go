package wrapper

import (
	"context"
	"errors"
	"net/http"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// RefusalReason says why a request was refused before anything of it ran.
type RefusalReason string

// The reasons a [Refusal] may have: as many requests run as the limiter allows (see
// WithConcurrencyLimit), or the attempt's time was over when it came.
const (
	RefusedBusy RefusalReason = "busy"
	RefusedLate RefusalReason = "late"
)

// Refusal is a request that a handler wrapper has refused.
type Refusal struct {
	// Endpoint that was called.
	Endpoint string
	// Reason why it was refused.
	Reason RefusalReason
	// Limiter is that of the endpoint; nil if it has none.
	Limiter *concurrency.Limiter
}

// RefusalFunc sees the requests that are refused before anything of them runs.
type RefusalFunc func(ctx context.Context, r Refusal)

var (
	errBusy = errors.New("as many requests run as are answered in time; try another instance")
	errLate = errors.New("the attempt came when its time was over; give the call more time")
)

// refuse answers that nothing ran.
func (d *deduper) refuse(h *handling, endpoint string, reason RefusalReason) error {
	if d.refused != nil {
		d.refused(h, Refusal{Endpoint: endpoint, Reason: reason, Limiter: h.limiter})
	}
	code, why := int32(http.StatusServiceUnavailable), errBusy
	if reason == RefusedLate {
		code, why = http.StatusRequestTimeout, errLate
	}
	return retryfunc.NewMarked(code, why.Error(), retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: d.service})
}

// limiterOf is the limiter of an endpoint; nil if it has none.
func (d *deduper) limiterOf(endpoint string) *concurrency.Limiter {
	if l, ok := d.limiters[d.names.currentOf(endpoint)]; ok {
		return l
	}
	return d.limiter
}

// WithConcurrencyLimit has handlers refuse, before anything runs, what the limiter has
// no place for: for the endpoints named ("Say.Hello") together or, where none is named,
// for all others together. Wrapped clients try another instance. The default is no
// limit. The caller keeps the limiter, whose Snapshot shows what it does; every server
// and every set of endpoints needs its own.
//
// A request takes its place when it executes: a duplicate that waits for a running
// execution, or gets a recorded answer, needs none and is never refused, since what it
// was sent for is under way or done. Of a call whose key was minted for it the first
// attempt is no duplicate, and is refused before the store is asked. Streams take no
// place, and neither do handlers whose reply is not decoded (with server.WithRouter).
func WithConcurrencyLimit(l *concurrency.Limiter, endpoints ...string) ServerOption {
	return func(o *ServerOptions) {
		if l == nil {
			o.reject("WithConcurrencyLimit", nil, "a limiter made by concurrency.NewAdaptive or NewFixed")
			return
		}
		if len(endpoints) == 0 {
			o.limiter = l
		}
		for _, endpoint := range endpoints {
			o.mention("WithConcurrencyLimit", endpoint)
			o.limiters[endpoint] = l
		}
	}
}

// WithRefusalHook sets what sees the requests that were refused before anything of
// them ran, because of a limit (WithConcurrencyLimit) or because they came too late.
// The caller waits for it; it must be safe for concurrent use. The default is none:
// a limiter's Snapshot counts.
func WithRefusalHook(f RefusalFunc) ServerOption {
	return func(o *ServerOptions) {
		if f == nil {
			o.reject("WithRefusalHook", nil, "a function")
		}
		o.refused = f
	}
}
