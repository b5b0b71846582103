package wrapper

import (
	"errors"
	"net/http"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

var (
	errBusy = errors.New("as many requests run as are answered in time; try another instance")
	errLate = errors.New("the attempt came when its time was over; give the call more time")
)

// refuse answers that nothing ran, and notes it in told, which may be nil.
func (d *deduper) refuse(told *RequestEnded, why error) error {
	told.refused(why)
	code := int32(http.StatusServiceUnavailable)
	if errors.Is(why, errLate) {
		code = http.StatusRequestTimeout
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
