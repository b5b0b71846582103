package wrapper

import (
	"time"

	"go-micro.dev/v4/client"
)

// asked is what the caller of one call asked for, in go-micro's own words. What
// the client was configured with is not: service.Init() overwrites it.
type asked struct {
	attempts       int // 0: nothing
	attemptTimeout time.Duration
	retry          client.RetryFunc
	backoff        client.BackoffFunc
	addresses      []string
}

// mostAsked bounds the retries that a call may ask for: as good as no bound.
const mostAsked = 1 << 20

// askedBy reads the call options by applying them to an empty set.
func askedBy(opts []client.CallOption) asked {
	if len(opts) == 0 {
		return asked{}
	}
	const unset = -1 << 31
	o := client.CallOptions{Retries: unset}
	for _, opt := range opts {
		opt(&o)
	}
	a := asked{attemptTimeout: max(0, o.ConnectionTimeout), retry: o.Retry, backoff: o.Backoff, addresses: o.Address}
	if o.Retries != unset {
		a.attempts = min(max(0, o.Retries), mostAsked) + 1
	}
	return a
}
