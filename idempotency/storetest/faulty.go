package storetest

import (
	"context"
	"errors"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ErrInjected is a fault that proves nothing: a connection that was cut.
var ErrInjected = errors.New("storetest: injected fault")

// Op is an operation of a store or an execution.
type Op string

// The operations that can be made to fail.
const (
	OpBegin    Op = "begin"
	OpRenew    Op = "renew"
	OpComplete Op = "complete"
	OpRelease  Op = "release"
)

// Fault is what happens to one operation. The zero value is no fault.
type Fault struct {
	// Before is returned in place of the operation, which does not take place.
	Before error
	// After is returned although the operation took place: its answer is lost.
	After error
	// Change alters the outcome of a Begin that had no fault.
	Change func(*idempotency.Outcome)
}

// Inject decides what happens to an operation. It is called once for each,
// from many goroutines, and may cancel contexts or block.
type Inject func(ctx context.Context, op Op) Fault

// Faulty returns store with faults. As on a connection that breaks, a
// transaction whose fault is lost is rolled back, except by a fault after its
// commit. Where store is an [idempotency.Watcher], so is what is returned.
func Faulty(store idempotency.Store, inject Inject) idempotency.Store {
	f := &faulty{Store: store, inject: inject}
	if watcher, ok := store.(idempotency.Watcher); ok {
		return struct {
			*faulty
			idempotency.Watcher
		}{f, watcher}
	}
	return f
}

type faulty struct {
	idempotency.Store
	inject Inject
}

func (f *faulty) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	fault := f.inject(ctx, OpBegin)
	if fault.Before != nil {
		return idempotency.Outcome{}, fault.Before
	}
	out, err := f.Store.Begin(ctx, c)
	if err != nil {
		return out, err
	}
	if fault.After != nil {
		if out.Transactional {
			return idempotency.Outcome{}, errors.Join(fault.After, rollback(ctx, out.Execution))
		}
		return idempotency.Outcome{}, fault.After
	}
	if fault.Change != nil {
		fault.Change(&out)
	}
	if out.State == idempotency.Acquired {
		out.Execution = &faultyExecution{out.Execution, f.inject, out.Transactional}
	}
	return out, nil
}

func rollback(ctx context.Context, e idempotency.Execution) error {
	return e.Release(context.WithoutCancel(ctx))
}

type faultyExecution struct {
	idempotency.Execution
	inject        Inject
	transactional bool
}

// Undo passes on, so that the fault's execution undoes what its own would.
func (e *faultyExecution) Undo(ctx context.Context) error {
	if undoer, ok := e.Execution.(idempotency.Undoer); ok {
		return undoer.Undo(ctx)
	}
	return nil
}

func (e *faultyExecution) Renew(ctx context.Context) error {
	return e.run(ctx, OpRenew, e.Execution.Renew)
}

func (e *faultyExecution) Complete(ctx context.Context, record []byte) error {
	return e.run(ctx, OpComplete, func(ctx context.Context) error { return e.Execution.Complete(ctx, record) })
}

func (e *faultyExecution) Release(ctx context.Context) error {
	return e.run(ctx, OpRelease, e.Execution.Release)
}

func (e *faultyExecution) run(ctx context.Context, op Op, operation func(context.Context) error) error {
	fault := e.inject(ctx, op)
	if fault.Before != nil {
		if e.transactional && op != OpRenew {
			return errors.Join(fault.Before, rollback(ctx, e.Execution))
		}
		return fault.Before
	}
	if err := operation(ctx); err != nil {
		return err
	}
	return fault.After
}
