package idempotency

import (
	"context"
	"errors"
	"runtime/debug"
)

// run is one execution of a handler under a claim.
type run struct {
	*Guard
	request  *request
	flight   *flight
	out      Outcome
	caller   context.Context // the caller's, for hooks
	detached context.Context // the caller's values, and no end
	ctx      context.Context // the handler's
	handler  deadline        // the root of ctx
	telling  deadline        // of the first thing that the store is told
	lease    leaseKeeper
	info     execution
	calls    callContext

	recovering bool   // the recovery function has not returned
	returned   bool   // the handler has
	released   bool   // its error is not recorded
	outOfTime  bool   // the handler ended after its time
	from       string // the origin in the record
	err        error
}

// execute runs the handler and tells the store, and those who follow, how it
// ended.
func (g *Guard) execute(
	ctx context.Context, r *request, f *flight, out Outcome, handler func(context.Context) error,
) (result Result, err error) {
	e := g.startRun(ctx, r, f, out)
	defer func() {
		e.ended(recover())
		err = e.finish()
		result.Released = e.released
	}()
	if e.lease.isOver() {
		e.err = e.tooLate()
	} else {
		e.err = e.handle(handler)
	}
	e.returned = true
	return Result{}, nil
}

func (g *Guard) startRun(ctx context.Context, r *request, f *flight, out Outcome) *run {
	r.ran = true
	e := &run{Guard: g, request: r, flight: f, out: out, caller: ctx, detached: context.WithoutCancel(ctx)}
	e.info.parent = Key{Value: r.claim.Scope.Key, For: r.call.Key.For, Issued: r.call.Key.Issued}
	if e.info.parent.For == "" {
		e.info.parent.For = CallName(r.claim.Scope.Service, r.claim.Scope.Endpoint)
	}
	e.info.caller, e.info.fence, e.calls.parent = r.claim.Scope.Caller, r.fence, &e.info
	e.handler.calls = &e.calls
	e.ctx = e.handler.start(e.detached, g.executionTimeout, ErrExecutionTimeout)
	if out.Execution != nil {
		e.ctx = out.Execution.Context(e.ctx)
		if !out.Transactional {
			e.lease.start(e, r.sent)
		}
	}
	if out.TakenOver {
		g.report(ctx, r, Event{Kind: EventTakenOver})
	}
	return e
}

// tooLate is the end of an execution that may not begin. It frees the key, since
// nothing was done under it; but what the first owner of an orphan did is still
// not known, so that an orphan is left to the next taker.
func (e *run) tooLate() error {
	err := unsettled(ErrLeaseLost, nil)
	if e.out.TakenOver {
		e.lease.giveUp()
		return err
	}
	return NotDone(err)
}

// unknownOutcomeError is what handle returns when a recovery does not know.
type unknownOutcomeError struct{ error }

// handle runs the handler, unless its work turns out to be done.
func (e *run) handle(handler func(context.Context) error) error {
	if !e.out.TakenOver || e.takeover.recover == nil {
		return handler(e.ctx)
	}
	r := e.request
	e.recovering = true
	done, err := e.takeover.recover(e.ctx, Orphan{
		Scope: r.claim.Scope, Body: r.call.Body, Reply: r.call.Reply, Fence: r.fence,
	})
	e.recovering = false
	switch {
	case err != nil:
		return &unknownOutcomeError{err}
	case done:
		return nil
	case e.lease.isOver(): // it was not done when the question was asked
		return NotDone(unsettled(ErrLeaseLost, nil))
	}
	return handler(e.ctx)
}

// ended puts a panic, or an end of the goroutine, in the place of the
// handler's error.
func (e *run) ended(panicked any) {
	if e.returned {
		return
	}
	e.err = &PanicError{Value: panicked, Stack: debug.Stack()}
	if e.recovering {
		e.err = &unknownOutcomeError{e.err}
	}
	e.report(e.caller, e.request, Event{Kind: EventPanicked, Err: e.err})
}

// finish ends the claim as the handler's answer demands, and returns the
// call's error.
func (e *run) finish() error {
	lost := e.lease.stop()
	e.endHandler()
	var unknown *unknownOutcomeError
	switch {
	case errors.As(e.err, &unknown): // the claim lapses, and the question is asked again
		return e.answer(unsettled(ErrOutcomeUnknown, unknown.error))
	case lost && e.err != nil && markOf(e.err) == unmarked: // it may be no more than the cancelled context
		e.report(e.caller, e.request, Event{Kind: EventLeaseLost, Err: e.err})
		return e.answer(unsettled(ErrLeaseLost, e.err))
	case e.err != nil && e.verdict(e.err, e.out.Transactional, e.outOfTime) == VerdictRelease:
		return e.release()
	}
	e.settleAnswer()
	if e.out.Transactional {
		return e.commit()
	}
	return e.complete()
}

// endHandler ends the handler's context.
func (e *run) endHandler() {
	e.outOfTime = e.handler.pastDeadline()
	e.handler.end(context.Canceled)
}

// settleAnswer gives an error that will be recorded its last form, for the caller
// as for the duplicates. A handler that was cut off has failed: what it says in the
// name of a callee, that it be asked again, would be said for as long as the
// record is kept.
func (e *run) settleAnswer() {
	if e.err == nil {
		return
	}
	if e.outOfTime && markOf(e.err) == unmarked {
		if recorded := e.encode(e.err); isTransient(recorded.Code) {
			e.err = &RecordedError{ID: recorded.ID, Code: 500, Detail: recorded.Detail, Status: "Internal Server Error"}
		}
	}
}

// answer gives one error to the caller and to those who follow.
func (e *run) answer(err error) error {
	e.flights.settle(e.request.claim.Key, e.flight, nil, err, false)
	return err
}

// record returns the handler's answer in the form that is stored.
func (e *run) record() []byte {
	var raw []byte
	if e.err != nil {
		raw = Record{Content: ContentError, Err: e.encode(e.err)}.Encode()
	} else {
		raw = e.recordReply(e.caller, e.request)
	}
	raw, e.from = e.signed(e.caller, raw)
	return raw
}

// release gives the key up. The followers then ask the store themselves.
func (e *run) release() error {
	e.released = true
	err := e.tellStore(OperationRelease, e.out.Execution.Release)
	if err != nil && !errors.Is(err, ErrLost) {
		e.storeFailed(e.detached, e.request, "release", err)
		if !e.out.Transactional {
			e.retryLater(e.out.Execution.Release, nil, nil)
		}
	}
	e.report(e.caller, e.request, Event{Kind: EventReleased, Err: e.err})
	return withoutMark(e.err)
}

// complete records the answer in a detached store. If the store cannot be told
// now, the caller has its answer all the same, and the store is told later.
func (e *run) complete() error {
	key, record := e.request.claim.Key, e.record()
	err := e.tellRecord(record)
	switch {
	case err == nil:
		e.flights.settle(key, e.flight, record, nil, false)
		e.report(e.caller, e.request, Event{Kind: EventExecuted, Err: e.err, Origin: e.from})
	case errors.Is(err, ErrLost): // another owner's answer will stand
		e.report(e.caller, e.request, Event{Kind: EventLeaseLost, Record: record, Err: err})
		return unsettled(ErrLeaseLost, err)
	default:
		e.storeFailed(e.detached, e.request, "complete", err)
		e.flights.settle(key, e.flight, record, nil, true)
		complete := func(ctx context.Context) error { return e.out.Execution.Complete(ctx, record) }
		e.retryLater(complete, record, func() { e.flights.drop(key, e.flight) })
	}
	return withoutMark(e.err)
}

// commit records the answer in a transactional store, together with the
// handler's writes. Without a commit nothing has happened, whatever the
// handler says.
func (e *run) commit() error {
	key, record := e.request.claim.Key, e.record()
	if e.err != nil && markOf(e.err) != markFinalKeepWrites {
		if undoer, ok := e.out.Execution.(Undoer); ok {
			if err := e.tellStore(OperationUndo, undoer.Undo); err != nil {
				return e.rolledBack(errors.Join(err, e.tellStore(OperationRelease, e.out.Execution.Release)))
			}
		}
	}
	err := e.tellRecord(record)
	switch {
	case err == nil:
		e.flights.settle(key, e.flight, record, nil, false)
		e.report(e.caller, e.request, Event{Kind: EventExecuted, Err: e.err, Origin: e.from})
		return withoutMark(e.err)
	case errors.Is(err, ErrNotApplied), errors.Is(err, ErrLost):
		return e.rolledBack(err)
	}
	return e.afterUnknownCommit(err)
}

// rolledBack answers for a transaction of which nothing is left. If a repetition
// may commit, or finds another's record, it is asked for; else this is the
// handler's failure, and the same for each who would try again.
func (e *run) rolledBack(cause error) error {
	e.report(e.caller, e.request, Event{Kind: EventRolledBack, Err: cause})
	if errors.Is(cause, ErrRepeatable) || errors.Is(cause, ErrLost) {
		return refusal(ErrRolledBack, cause)
	}
	return refusal(ErrNotCommitted, cause)
}

// afterUnknownCommit begins again, which tells whether the commit took place.
func (e *run) afterUnknownCommit(cause error) error {
	e.storeFailed(e.detached, e.request, "commit", cause)
	var out Outcome
	err := e.tellStore(OperationClaim, func(ctx context.Context) (err error) {
		claim := e.claimOf(e.request)
		claim.Owner, claim.Wait = e.newOwner(), e.storeTimeout
		out, err = e.store.Begin(ctx, claim)
		return err
	})
	switch {
	case err == nil && (out.State == Superseded || out.State == Done && !out.Fingerprint.Matches(e.request.claim.Fingerprint)):
		return e.rolledBack(Repeatable(cause)) // the key was free for somebody else
	case err == nil && out.State == Done:
		e.flights.settle(e.request.claim.Key, e.flight, out.Record, nil, false)
		_, err := e.replay(e.caller, e.request, out.Record)
		return err
	case err == nil && out.State == Acquired:
		return e.rolledBack(Repeatable(errors.Join(cause, e.tellStore(OperationRelease, out.Execution.Release))))
	}
	unknown := unsettled(ErrCommitUnknown, errors.Join(cause, err))
	e.report(e.caller, e.request, Event{Kind: EventUnresolved, Record: e.record(), Err: unknown})
	return e.answer(unknown)
}

// tellStore runs one operation of the store, on no caller's time.
func (e *run) tellStore(o StoreOperation, operation func(context.Context) error) error {
	ctx := new(deadline).start(e.detached, e.storeTimeout, nil)
	defer ctx.end(context.Canceled)
	return e.timed(e.caller, e.request, o, func() error { return operation(ctx) })
}

// tellRecord completes the claim. It is called once.
func (e *run) tellRecord(record []byte) error {
	ctx := e.telling.start(e.detached, e.storeTimeout, nil)
	defer ctx.end(context.Canceled)
	return e.timed(e.caller, e.request, OperationComplete, func() error { return e.out.Execution.Complete(ctx, record) })
}

// executeUnrecorded runs the handler without a claim.
func (g *Guard) executeUnrecorded(
	ctx context.Context, r *request, f *flight, handler func(context.Context) error, cause error,
) (result Result, err error) {
	g.report(ctx, r, Event{Kind: EventUnrecorded, Err: cause})
	e := g.startRun(ctx, r, f, Outcome{State: Acquired})
	defer func() {
		e.ended(recover())
		err = e.finishUnrecorded()
		result.Released = e.released
	}()
	e.err = e.handle(handler)
	e.returned = true
	return Result{}, nil
}

// finishUnrecorded answers the followers from memory. If the store may hold
// the claim, it is told later.
func (e *run) finishUnrecorded() error {
	e.endHandler()
	if e.err != nil && e.verdict(e.err, false, e.outOfTime) == VerdictRelease {
		e.released = true
		if e.request.claimUncertain {
			e.settleLater(e.caller, e.request, nil)
		}
		return withoutMark(e.err)
	}
	e.settleAnswer()
	record := e.record()
	e.flights.settle(e.request.claim.Key, e.flight, record, nil, false)
	if e.request.claimUncertain {
		e.settleLater(e.caller, e.request, record)
	}
	return withoutMark(e.err)
}
