package retryfunc

import (
	"context"
	"fmt"
	"slices"

	"go-micro.dev/v4/client"
)

// OnCodes retries errors with one of the given go-micro codes, which are those
// of HTTP, unless the caller gave up. It is an error to name no code, or one
// below 1. The error a mucp handler returned without a code has none to match.
func OnCodes(codes ...int32) (client.RetryFunc, error) {
	if len(codes) == 0 {
		return nil, fmt.Errorf("retryfunc: OnCodes(): must name at least one code")
	}
	for _, code := range codes {
		if code < 1 {
			return nil, fmt.Errorf("retryfunc: OnCodes(%d): must be at least 1", code)
		}
	}
	codes = slices.Clone(codes)
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		if ctx.Err() != nil || !slices.Contains(codes, codeOf(err)) {
			return false, nil
		}
		return attemptOf(ctx, req, retryCount, err).Class != Canceled, nil
	}, nil
}

// OnClass retries errors of the given classes. It is an error to name no class,
// None or Canceled.
func OnClass(classes ...Class) (client.RetryFunc, error) {
	if len(classes) == 0 {
		return nil, fmt.Errorf("retryfunc: OnClass(): must name at least one class")
	}
	var wanted [Canceled]bool
	for _, class := range classes {
		if class == None || class >= Canceled {
			return nil, fmt.Errorf("retryfunc: OnClass(%v): must be a class between NotSent and NoNode", class)
		}
		wanted[class] = true
	}
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		class := attemptOf(ctx, req, retryCount, err).Class
		return ctx.Err() == nil && class < Canceled && wanted[class], nil
	}, nil
}
