package retryfunc

import (
	"context"
	"errors"
	"time"

	"go-micro.dev/v4/client"
)

// Reason says why a retry was granted or refused.
type Reason string

// The reasons a [Decision] may have.
const (
	ReasonGranted Reason = "retry granted"
	// ReasonPolicy: a policy of the user's said no, without saying why.
	ReasonPolicy Reason = "the retry policy that was set says no"
	// ReasonAnswered: a handler has answered, and would answer the same again.
	ReasonAnswered Reason = "the handler answered, and would again"
	// ReasonUnsafe: the call may have run, and is declared to be one that must not run
	// twice.
	ReasonUnsafe Reason = "it may have run, and must not run twice: give every instance one store that deduplicates, " +
		"or declare the endpoint idempotent if it is"
	// ReasonNotDone: a handler failed, and a key does not tell how far it had come.
	ReasonNotDone Reason = "the handler failed, and may have done a part: a repetition with the same key gets the same answer"
	// ReasonAttempts: as many attempts were made as the call may have.
	ReasonAttempts Reason = "attempts exhausted (wrapper.WithAttempts)"
	// ReasonDeadline: the call's time is over, or would be before the retry.
	ReasonDeadline Reason = "no time left before the call's deadline"
	// ReasonBudget: too large a part of the calls to this service are retries.
	ReasonBudget Reason = "retry budget of the service is empty: too many of its calls fail (wrapper.WithBudget)"
	// ReasonServer: a server has asked not to be asked again.
	ReasonServer Reason = "the server said not to retry"
	// ReasonCanceled: the caller gave up.
	ReasonCanceled Reason = "the caller gave up"
	// ReasonUndeclared: the call may have run, and nobody has said that it may
	// run twice.
	ReasonUndeclared Reason = "endpoint's safety unknown: declare it (wrapper.WithSafety, wrapper.EndpointSafety " +
		"or idempotency_level), or have every instance deduplicate in one store"
	// ReasonOverdue: the attempt had its share of the call's time, and the next
	// one was begun beside it. Its late answer still counts.
	ReasonOverdue Reason = "no answer yet: another attempt was begun beside it"
	// ReasonHedged: the attempt had the hedge's delay, and another was begun beside
	// it. Whichever is answered first counts.
	ReasonHedged Reason = "no answer yet: hedged on another instance"
	// ReasonHedgeUnsafe: a hedge was due, and the call may not run twice.
	ReasonHedgeUnsafe Reason = "not hedged: it may not run twice (safe and idempotent endpoints are hedged, and with " +
		"wrapper.WithHedgedWrites those whose keys every instance honours)"
	// ReasonHedgeShared: a hedge was due, and the attempts would have written to one
	// response, such as a map.
	ReasonHedgeShared Reason = "not hedged: the response cannot be received apart from the caller's"
	// ReasonHedgeNowhere: a hedge was due, and every admitted instance was tried.
	ReasonHedgeNowhere Reason = "not hedged: no other instance"
	// ReasonHedgeBudget: a hedge was due, and the hedges' own budget did not pay.
	ReasonHedgeBudget Reason = "not hedged: budget"
	// ReasonHedgeCrowded: a hedge was due, and was to wait for others to end.
	ReasonHedgeCrowded Reason = "not hedged yet: too many calls are"
	// ReasonHedgeSuspended: a hedge was due, and too many were in vain of late, or too
	// many attempts have timed out, were refused or pushed back.
	ReasonHedgeSuspended Reason = "not hedged: the service is slow everywhere, or in trouble"
	// ReasonHedgeSpared: a hedge was due, and the request that the call belongs to runs
	// beside another, or what its caller's caller can spare is used up.
	ReasonHedgeSpared Reason = "not hedged: attempts of its caller run beside each other already"
	// ReasonFailing: every instance has answered nothing but failures, many times in a
	// row. The next call that is answered ends that.
	ReasonFailing Reason = "every instance answers with failures"
	// ReasonRunning: another attempt of the call was running, and was waited for.
	ReasonRunning Reason = "another attempt is running"
	// ReasonOutrun: another attempt was answered first.
	ReasonOutrun Reason = "another attempt was answered first"
	// ReasonAbsent: nothing was sent, and no other instance showed up.
	ReasonAbsent Reason = "no other instance, and none appeared in time"
)

// Decision is what was decided after a failed attempt.
type Decision struct {
	// Service and Endpoint that were called.
	Service, Endpoint string
	// Attempt that failed.
	Attempt Attempt
	// Retry: a retry was granted. go-micro may still not make it, because it
	// asks after the last attempt too.
	Retry bool
	// Reason for it, or against it.
	Reason Reason
	// Delay before the retry, as far as it is known: [Observe] knows only what
	// the server asked for; 0 when there is no retry.
	Delay time.Duration
	// Err is the error the attempt ended with.
	Err error
}

// Hook sees decisions, to count or log them. It is called by the goroutine of
// the call, which waits for it, and by many at once. It must not panic.
type Hook func(ctx context.Context, d Decision)

// Observe returns a policy that decides as the given one does and tells hook
// what was decided and why. Put it outermost. It is an error to give a nil
// policy or a nil hook.
func Observe(policy client.RetryFunc, hook Hook) (client.RetryFunc, error) {
	if policy == nil {
		return nil, nilPolicy("Observe")
	}
	if hook == nil {
		return nil, errors.New("retryfunc: Observe(policy, nil): hook must be a Hook")
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		d, perr := Explain(ctx, policy, req, retryCount, err)
		if d.Attempt.Number > 0 {
			hook(ctx, d)
		}
		return d.Retry, perr
	}, nil
}

// Explain asks policy and says why it answered as it did. The limits of this
// package ([Budget.Limit], [WithinDeadline], [Obey]) give their own reasons;
// [Careful] says why, and any other no is ReasonPolicy. The error is the policy's own, with which
// go-micro replaces that of the call; there is no retry then.
func Explain(ctx context.Context, policy client.RetryFunc, req client.Request, retryCount int, err error) (Decision, error) {
	a := attemptOf(ctx, req, retryCount, err)
	d := Decision{Attempt: a, Err: err}
	if req != nil {
		d.Service, d.Endpoint = req.Service(), req.Endpoint()
	}
	var v verdict
	retry, perr := policy(context.WithValue(WithAttempt(ctx, &a), verdictKey{}, &v), req, retryCount, err)
	d.Retry = retry && perr == nil
	d.Reason = v.reason(ctx, d)
	if d.Retry {
		d.Delay = max(a.RetryAfter, wishOf(ctx, err))
	}
	return d, perr
}

type verdictKey struct{}

// verdict is where limits leave the reason for a no, on its way out to Explain.
type verdict struct{ noted Reason }

func note(ctx context.Context, r Reason) {
	if v, ok := ctx.Value(verdictKey{}).(*verdict); ok {
		v.noted = r
	}
}

func (v *verdict) reason(ctx context.Context, d Decision) Reason {
	switch {
	case d.Retry:
		return ReasonGranted
	case errors.Is(ctx.Err(), context.Canceled), d.Attempt.Class == Canceled:
		return ReasonCanceled
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ReasonDeadline
	case v.noted != "":
		return v.noted
	default:
		return ReasonPolicy
	}
}
