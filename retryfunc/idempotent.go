package retryfunc

import (
	"context"
	"errors"

	"go-micro.dev/v4/client"
)

// Idempotent retries calls of safe and idempotent endpoints, and no others,
// when nothing ran, or what ran bears repeating: NotSent, Refused, Broken,
// Timeout, Internal, and a proxy's 502, 503 and 504. The rule is asked first;
// where it has no opinion, what the [Attempt] in ctx says of the endpoint counts.
// A nil rule is an error, and so is one that is wrong (see [Inspect]).
func Idempotent(rule Rule) (client.RetryFunc, error) {
	if rule == nil {
		return nil, errors.New("retryfunc: Idempotent(nil): rule must be a Rule")
	}
	if err := Inspect(rule).Err; err != nil {
		return nil, err
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		if gaveUp(ctx) || forbidden(ctx, err) {
			return false, nil
		}
		a := attemptOf(ctx, req, retryCount, err)
		if safety := rule(ctx, req); safety != SafetyUnknown {
			a.Safety = safety
		}
		switch a.Class {
		case NotSent, Refused, Broken, Timeout, Internal:
			return a.Safety.Repeatable(), nil
		case Application:
			return FromGateway(err) && a.Safety.Repeatable(), nil
		default:
			return false, nil
		}
	}, nil
}
