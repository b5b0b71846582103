package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go-micro.dev/v4/client"
)

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
	case policy == nil:
		return nil, nilPolicy("Limit")
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		retry, perr := policy(ctx, req, retryCount, err)
		if !retry || perr != nil {
			return false, perr
		}
		return b.grant(ctx, attempts, retryCount), nil
	}, nil
}

func (b *Budget) grant(ctx context.Context, attempts, retryCount int) bool {
	number := retryCount + 1
	if a, ok := AttemptFrom(ctx); ok {
		if a.Class == NotSent && a.Untried {
			return true
		}
		if number = a.Number; number == 0 {
			return true
		}
	}
	if number >= attempts {
		note(ctx, ReasonAttempts)
		return false
	}
	if !b.Withdraw() {
		note(ctx, ReasonBudget)
		return false
	}
	return true
}

// WithinDeadline returns a policy that retries what the given policy retries, if
// the retry can finish: ctx must leave it need, and the wait that the server
// asked for on top. Without a deadline there is always time. It is an error to
// give a nil policy or a negative need; 0 asks only that the deadline has not
// passed.
func WithinDeadline(policy client.RetryFunc, need time.Duration) (client.RetryFunc, error) {
	if policy == nil {
		return nil, nilPolicy("WithinDeadline")
	}
	if need < 0 {
		return nil, fmt.Errorf("retryfunc: WithinDeadline(%v): must not be negative", need)
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		retry, perr := policy(ctx, req, retryCount, err)
		if !retry || perr != nil {
			return false, perr
		}
		deadline, ok := ctx.Deadline()
		if !ok {
			return !gaveUp(ctx), nil
		}
		mark, _ := ParseMark(err)
		if left := time.Until(deadline) - mark.RetryAfter; left <= 0 || left < need {
			note(ctx, ReasonDeadline)
			return false, nil
		}
		return !gaveUp(ctx), nil
	}, nil
}

// Obey returns a policy that retries what the given policy retries, unless the
// server asked not to be ([Mark.NoRetry]). [Careful] and [Idempotent] obey by
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
	if m, ok := ParseMark(err); !ok || !m.NoRetry {
		return false
	}
	note(ctx, ReasonServer)
	return true
}
