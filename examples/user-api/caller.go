package main

import (
	"context"
	"log/slog"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/wrapper"
)

const (
	// callTimeout is how long a call to hello-srv may take, its retries
	// included. A frozen instance that comes back sooner costs nobody an error.
	callTimeout = 5 * time.Second
	// readTimeout is how long one attempt of a read may take if another may
	// follow: the most that a frozen instance costs a reader. A tip has longer,
	// an equal share of what is left of its call: it may have to wait for locks
	// that the frozen instance holds, and then asking again sooner is no help.
	readTimeout = 500 * time.Millisecond
)

// caller is one way to call hello-srv.
type caller struct {
	client client.Client
	// carryKey makes the calls under the returned context carry a key.
	carryKey func(ctx context.Context, key string) context.Context
	// watch returns a context for one call, and what the call took, to be asked
	// once it has returned.
	watch func(ctx context.Context) (context.Context, func() effort)
	// reads are for calls that change nothing.
	reads []client.CallOption
}

// effort is what a call took.
type effort struct {
	attempts int
	// failed says of each attempt that failed where it went and how it ended,
	// as in "127.0.0.1:9001 broken"; only oncemore knows.
	failed []string
	// report is the call's story; only oncemore tells one.
	report wrapper.Report
}

// watching is what watches the calls.
type watching struct {
	circuits      *circuits
	metrics, page wrapper.Observer
}

func newCaller(c config, service micro.Service, of watching, log *slog.Logger) (*caller, error) {
	switch c.client {
	case clientStock:
		return newStockCaller(service)
	case clientHystrix:
		return newHystrixCaller(service)
	default:
		return newOncemoreCaller(c, service, of, log)
	}
}
