package main

import (
	"context"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"
)

// faultMetadata is the metadata key in which a request asks for a fault.
const faultMetadata = "Fault"

// exitFault is the exit status of an instance that a fault made exit.
const exitFault = 3

// faults makes an instance misbehave on request. The zero value ignores every
// request to.
type faults struct {
	enabled bool
	exit    func(code int)
	// slow is what one call in ten takes longer, whatever its request says.
	slow time.Duration
}

// slowCalls is how many calls one is slow of.
const slowCalls = 10

// slowly is the handler wrapper of a slow instance: the call has arrived, and
// nothing is done yet.
func (f faults) slowly(next server.HandlerFunc) server.HandlerFunc {
	if f.slow == 0 {
		return next
	}
	var calls atomic.Int64
	return func(ctx context.Context, req server.Request, rsp any) error {
		if calls.Add(1)%slowCalls == 0 {
			if err := sleep(ctx, f.slow); err != nil {
				return err
			}
		}
		return next(ctx, req, rsp)
	}
}

// requested returns the fault that the request asks for.
func (f faults) requested(ctx context.Context) (fault, error) {
	if !f.enabled {
		return fault{}, nil
	}
	value, _ := metadata.Get(ctx, faultMetadata)
	return parseFault(value)
}

// beforeWork is what a handler calls first: it sleeps, exits, panics or fails
// as asked. It is part of the handler so that whatever wraps the handler, such
// as a claim on the call's key, has happened by then.
func (f faults) beforeWork(ctx context.Context) error {
	asked, err := f.requested(ctx)
	if err != nil {
		return err
	}
	switch asked.kind {
	case faultSleep:
		return sleep(ctx, asked.sleep)
	case faultExitBefore:
		f.exit(exitFault)
	case faultPanic:
		panic("the request asked for a panic")
	case faultError:
		return errors.New(serviceName, "the request asked for an error", asked.code)
	default: // none, or one for later
	}
	return nil
}

// afterHandler is the outermost handler wrapper: it exits when everything is
// done, and committed, but the reply not sent.
func (f faults) afterHandler(next server.HandlerFunc) server.HandlerFunc {
	return func(ctx context.Context, req server.Request, rsp any) error {
		asked, askErr := f.requested(ctx)
		err := next(ctx, req, rsp)
		if askErr == nil && asked.kind == faultExitAfter {
			f.exit(exitFault)
		}
		return err
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Timeout(serviceName, "told to sleep %v: %v", d, ctx.Err())
	}
}
