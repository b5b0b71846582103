package main

import (
	"context"
	"log/slog"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
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
	// count returns a context for one call, and how many attempts it took, to
	// be asked once the call has returned.
	count func(ctx context.Context) (context.Context, func() int)
	// reads are for calls that change nothing.
	reads []client.CallOption
}

func newCaller(c config, service micro.Service, log *slog.Logger) (*caller, error) {
	switch c.client {
	case clientStock:
		return newStockCaller(service)
	case clientHystrix:
		return newHystrixCaller(service)
	default:
		return newOncemoreCaller(service, c.keys == keysVouched, log)
	}
}
