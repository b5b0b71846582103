package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go-micro.dev/v4/client"
)

// Limits are what a retry that a policy wants is held against. The zero value
// limits nothing but a context that has ended.
type Limits struct {
	// Made is how many attempts count so far, Most how many may; 0: any number.
	Made, Most int
	// Wait precedes the retry, which is to have Need before the context's
	// deadline.
	Wait, Need time.Duration
	// Free: the retry costs nobody anything, as moving on from a refused dial to
	// a node not tried yet. No budget pays for it.
	Free bool
	// Budget pays for a retry that is not free; nil: nobody has to.
	Budget *Budget
}

// Refuse says which limit forbids the retry; empty: none does, and the budget
// has paid. They are asked in the order of what they cost, and the budget last,
// so that it pays for nothing that another limit forbids.
func (l Limits) Refuse(ctx context.Context) Reason {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ReasonCanceled
	case ctx.Err() != nil:
		return ReasonDeadline
	case l.Most > 0 && l.Made >= l.Most:
		return ReasonAttempts
	case !l.inTime(ctx):
		return ReasonDeadline
	case !l.Free && l.Budget != nil && !l.Budget.Withdraw():
		return ReasonBudget
	default:
		return ""
	}
}

func (l Limits) inTime(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	if !ok {
		return true
	}
	left := time.Until(deadline) - l.Wait
	return left > 0 && left >= l.Need
}

// Limit returns a policy that retries what the given policy retries, while
// attempts are left and the budget pays. attempts counts the first try too.
// After the last attempt, after which no retry can run, nothing is charged, and
// neither is moving on from a refused dial to a node not tried yet
// ([Attempt.Untried]). Put it outermost, so that it pays for nothing another
// limit then forbids.
//
// It does not deposit: call [Budget.Deposit] once per call, or the budget holds
// no more than its floor. It is an error to give a nil policy, a nil Budget or
// fewer than one attempt.
func (b *Budget) Limit(attempts int, policy client.RetryFunc) (client.RetryFunc, error) {
	switch {
	case b == nil:
		return nil, errors.New("retryfunc: Limit on a nil Budget: must be made with NewBudget")
	case attempts < 1:
		return nil, fmt.Errorf("retryfunc: Limit(%d): attempts must be at least 1", attempts)
	}
	return within("Limit", policy, func(ctx context.Context, retryCount int, _ error) Limits {
		l := Limits{Made: retryCount + 1, Most: attempts, Budget: b}
		if a, ok := AttemptFrom(ctx); ok {
			l.Made, l.Free = a.Number, a.Class == NotSent && a.Untried
			if l.Free {
				l.Most = 0
			}
		}
		return l
	})
}

// WithinDeadline returns a policy that retries what the given policy retries, if
// the retry can finish: ctx must leave it need, and the wait that the server
// asked for on top. Without a deadline there is always time. It is an error to
// give a nil policy or a negative need; 0 asks only that the deadline has not
// passed.
func WithinDeadline(policy client.RetryFunc, need time.Duration) (client.RetryFunc, error) {
	if need < 0 {
		return nil, fmt.Errorf("retryfunc: WithinDeadline(%v): must not be negative", need)
	}
	return within("WithinDeadline", policy, func(ctx context.Context, _ int, err error) Limits {
		return Limits{Wait: wishOf(ctx, err), Need: need}
	})
}

// within returns policy within limits.
func within(
	name string, policy client.RetryFunc, limits func(ctx context.Context, retryCount int, err error) Limits,
) (client.RetryFunc, error) {
	if policy == nil {
		return nil, nilPolicy(name)
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		retry, perr := policy(ctx, req, retryCount, err)
		if !retry || perr != nil {
			return false, perr
		}
		if reason := limits(ctx, retryCount, err).Refuse(ctx); reason != "" {
			note(ctx, reason)
			return false, nil
		}
		return true, nil
	}, nil
}

// Obey returns a policy that retries what the given policy retries, unless the
// server asked not to be ([Mark.NoRetry], [Attempt.NoRetry]). [Careful] and [Idempotent] obey by
// themselves. A nil policy is an error.
func Obey(policy client.RetryFunc) (client.RetryFunc, error) {
	if policy == nil {
		return nil, nilPolicy("Obey")
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		if forbidden(ctx, err) {
			return false, nil
		}
		return policy(ctx, req, retryCount, err)
	}, nil
}

// forbidden reports whether a server asked not to be retried. It does not
// matter which: a relayed wish would be relayed again.
func forbidden(ctx context.Context, err error) bool {
	m, _ := ParseMark(err)
	a, known := AttemptFrom(ctx)
	if !m.NoRetry && (!known || !a.NoRetry) {
		return false
	}
	note(ctx, ReasonServer)
	return true
}

// wishOf is the least time that the server asked to wait before the next attempt.
func wishOf(ctx context.Context, err error) time.Duration {
	m, _ := ParseMark(err)
	if a, ok := AttemptFrom(ctx); ok {
		return max(m.RetryAfter, a.RetryAfter)
	}
	return m.RetryAfter
}
