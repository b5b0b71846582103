package retryfunc

import (
	"context"
	"fmt"

	"go-micro.dev/v4/client"
)

// Any retries when one of the policies does. They are asked in order, and no
// further than the first that says yes or returns an error. It is an error to
// give none, or a nil one.
func Any(policies ...client.RetryFunc) (client.RetryFunc, error) {
	return until(true, "Any", policies)
}

// All retries when every policy does. They are asked in order, and no further
// than the first that says no or returns an error. It is an error to give none,
// or a nil one.
func All(policies ...client.RetryFunc) (client.RetryFunc, error) {
	return until(false, "All", policies)
}

// until asks the policies until one answers decisive.
func until(decisive bool, name string, policies []client.RetryFunc) (client.RetryFunc, error) {
	if len(policies) == 0 {
		return nil, fmt.Errorf("retryfunc: %s(): must name at least one policy", name)
	}
	for i, policy := range policies {
		if policy == nil {
			return nil, fmt.Errorf("retryfunc: %s: policy %d is nil: must be a client.RetryFunc", name, i+1)
		}
	}
	policies = append([]client.RetryFunc(nil), policies...)
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		for _, policy := range policies {
			retry, perr := policy(ctx, req, retryCount, err)
			if perr != nil {
				return false, perr
			}
			if retry == decisive {
				return decisive, nil
			}
		}
		return !decisive, nil
	}, nil
}

// Not retries when the policy does not, and when the caller has not given up.
// It is for use inside [All]: alone it retries a call that its own policy holds
// to be dangerous. A nil policy is an error.
func Not(policy client.RetryFunc) (client.RetryFunc, error) {
	if policy == nil {
		return nil, nilPolicy("Not")
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		retry, perr := policy(ctx, req, retryCount, err)
		if perr != nil {
			return false, perr
		}
		return !retry && !gaveUp(ctx), nil
	}, nil
}

func nilPolicy(name string) error {
	return fmt.Errorf("retryfunc: %s(nil): policy must be a client.RetryFunc", name)
}
