package wrapper

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// handle answers one request, and tells the observers how.
func (d *deduper) handle(ctx context.Context, req server.Request, rsp any, next server.HandlerFunc) (answer error) {
	if d.observers.none() {
		return d.answer(ctx, req, rsp, next, nil)
	}
	told := &RequestEnded{Service: d.service, Endpoint: endpointOf(req), Stream: isStream(rsp), Outcome: OutcomeUnkeyed}
	told.Previous = previousAttempts(ctx)
	began := time.Now()
	ctx = d.observers.begin(ctx, func(t Tracer, ctx context.Context) context.Context {
		return t.BeginRequest(ctx, told.Service, told.Endpoint)
	})
	ended := false
	defer func() { // a handler of a stream may panic
		told.Took, told.Err = time.Since(began), answer
		if !ended {
			told.Err = ErrPanicked
		}
		d.observers.tell(ctx, told)
	}()
	answer = d.answer(ctx, req, rsp, next, told)
	ended = true
	return answer
}

// previousAttempts is what the client says of its attempts before this one.
func previousAttempts(ctx context.Context) int {
	said, _ := lookUp(metadataIn(ctx), idempotency.HeaderRetryCount)
	n, err := strconv.Atoi(said)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// keyed notes the key of a request.
func (e *RequestEnded) keyed(key string) {
	if e != nil {
		e.Key = key
	}
}

// entered notes that the handler runs.
func (e *RequestEnded) entered() {
	if e != nil {
		e.ran = true
	}
}

// refused notes that a request was answered in the handler's place.
func (e *RequestEnded) refused(err error) {
	if e != nil {
		e.Outcome, e.Reason = OutcomeRefused, refusalCode(err)
	}
}

// guarded notes how a guard has answered a request.
func (e *RequestEnded) guarded(result idempotency.Result, err error) {
	if e == nil {
		return
	}
	e.Origin = result.Origin
	switch {
	case result.Joined:
		e.Outcome = OutcomeJoined
	case result.Replayed:
		e.Outcome = OutcomeReplayed
	case result.Released:
		e.Outcome = OutcomeReleased
	case e.ran || err == nil:
		e.Outcome = OutcomeExecuted
	default:
		e.refused(err)
	}
}

// watchGuard has the observers told what the guard of a server does.
func (o *ServerOptions) watchGuard() []idempotency.Option {
	if o.observers.none() {
		return nil
	}
	told := o.observers
	return []idempotency.Option{idempotency.WithHook(func(ctx context.Context, e idempotency.Event) {
		told.tell(ctx, &Guarded{e})
	})}
}

// tellPanic logs a panic, and tells the observers of it.
func (d *deduper) tellPanic(ctx context.Context, endpoint string, value any, stack []byte) {
	d.guard.Logger().ErrorContext(ctx, "oncemore: a handler panicked; its caller was answered 500",
		"endpoint", endpoint, "panic", value, "stack", string(stack))
	if !d.observers.none() {
		d.observers.tell(ctx, &HandlerPanicked{Service: d.service, Endpoint: endpoint, Value: value, Stack: stack})
	}
}

// callerError is the error of the function that tells callers apart.
type callerError struct{ error }

// refusalCode is a short name for why a request was answered in the handler's place.
func refusalCode(err error) string {
	switch {
	case errors.As(err, new(callerError)):
		return "caller"
	case errors.Is(err, errBusy):
		return "busy"
	case errors.Is(err, errLate):
		return "late"
	case errors.Is(err, errKeyRequired):
		return "key_required"
	case errors.Is(err, errForeignKey):
		return idempotency.ReasonCode(idempotency.ErrForeignKey)
	default:
		return idempotency.ReasonCode(err)
	}
}
