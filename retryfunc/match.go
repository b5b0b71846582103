package retryfunc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go-micro.dev/v4/client"
)

// OnCodes retries errors with one of the given go-micro codes, which are those
// of HTTP, unless the caller gave up. It is an error to name no code, or one
// below 1. The error a mucp handler returned without a code has none to match.
func OnCodes(codes ...int32) (client.RetryFunc, error) {
	if len(codes) == 0 {
		return nil, errors.New("retryfunc: OnCodes(): must name at least one code")
	}
	for _, code := range codes {
		if code < 1 {
			return nil, fmt.Errorf("retryfunc: OnCodes(%d): must be at least 1", code)
		}
	}
	codes = slices.Clone(codes)
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		if gaveUp(ctx) || !slices.Contains(codes, codeOf(err)) {
			return false, nil
		}
		return attemptOf(ctx, req, retryCount, err).Class != Canceled, nil
	}, nil
}

// OnClass retries errors of the given classes. It is an error to name no class,
// None or Canceled.
func OnClass(classes ...Class) (client.RetryFunc, error) {
	if len(classes) == 0 {
		return nil, errors.New("retryfunc: OnClass(): must name at least one class")
	}
	for _, class := range classes {
		if class == None || class >= Canceled {
			return nil, fmt.Errorf("retryfunc: OnClass(%v): must be a class between NotSent and NoNode", class)
		}
	}
	classes = slices.Clone(classes)
	return func(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
		class := attemptOf(ctx, req, retryCount, err).Class
		return !gaveUp(ctx) && slices.Contains(classes, class), nil
	}, nil
}
