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
	// attemptTimeout is how long one attempt may take if another may follow: the
	// most that a frozen instance costs a caller.
	attemptTimeout = 500 * time.Millisecond
)

// caller is one way to call hello-srv.
type caller struct {
	client client.Client
	// carryKey makes the calls under the returned context carry a key.
	carryKey func(ctx context.Context, key string) context.Context
	// count returns a context for one call, and how many attempts it took, to
	// be asked once the call has returned.
	count func(ctx context.Context) (context.Context, func() int)
}

func newCaller(name string, service micro.Service, log *slog.Logger) (*caller, error) {
	switch name {
	case clientStock:
		return newStockCaller(service)
	case clientHystrix:
		return newHystrixCaller(service)
	default:
		return newOncemoreCaller(service, log)
	}
}
