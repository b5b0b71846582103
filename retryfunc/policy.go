package retryfunc

import (
	"context"
	"net/http"

	"go-micro.dev/v4/client"
)

// Always retries whatever went wrong, until the caller gives up. It is for
// endpoints that are harmless to repeat and for tests. It answers yes to a nil
// error too, because go-micro's grpc client passes nil for every stream that
// could not be opened.
func Always(ctx context.Context, _ client.Request, _ int, _ error) (bool, error) {
	return !gaveUp(ctx), nil
}

// OnError retries what client.RetryOnError documents and does not do: the codes
// 408 and 500, and what grpc calls 503 for the same events (a refused dial, a
// broken connection), but not a handler's own bare 503, nor a call that its
// caller gave up. It does not ask whether the endpoint bears repeating: on one
// that does not, it runs things twice.
func OnError(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
	if gaveUp(ctx) {
		return false, nil
	}
	switch attemptOf(ctx, req, retryCount, err).Class {
	case None, Canceled:
		return false, nil
	case NotSent, Broken, Timeout, Internal:
		return true, nil
	default:
		return codeOf(err) == http.StatusInternalServerError || codeOf(err) == http.StatusRequestTimeout, nil
	}
}

// Careful is the default policy: it retries what cannot do harm twice.
//
//   - NotSent and Refused always: nothing ran.
//   - Broken and Timeout where the endpoint is safe or idempotent, or the call
//     carries a key that every candidate node honours ([Attempt.KeyTrusted]).
//   - Internal, and the answers 502, 503 and 504, which proxies give for
//     instances that are gone, where the endpoint is safe or idempotent.
//   - Other Application answers, NoNode and Canceled never, nor what a server
//     asked not to be retried.
//
// Without an [Attempt] in ctx nothing is known of endpoint and key, so only
// NotSent and Refused are retried; combine it with [Idempotent] by [Any] to say
// more.
func Careful(ctx context.Context, req client.Request, retryCount int, err error) (bool, error) {
	if gaveUp(ctx) || forbidden(ctx, err) {
		return false, nil
	}
	a := attemptOf(ctx, req, retryCount, err)
	switch a.Class {
	case NotSent, Refused:
		return true, nil
	case Broken, Timeout:
		return a.KeyTrusted || a.repeatable(ctx), nil
	case Internal:
		return a.repeatable(ctx), nil
	case Application:
		if !FromGateway(err) {
			note(ctx, ReasonAnswered)
			return false, nil
		}
		return a.repeatable(ctx), nil
	case NoNode:
		note(ctx, ReasonAbsent)
	default:
	}
	return false, nil
}

// repeatable reports whether the endpoint may run twice, and leaves word of why it may
// not.
func (a *Attempt) repeatable(ctx context.Context) bool {
	switch {
	case a.Safety.Repeatable():
		return true
	case a.KeyTrusted:
		note(ctx, ReasonNotDone)
	case a.Safety == SafetyUnknown:
		note(ctx, ReasonUndeclared)
	default:
		note(ctx, ReasonUnsafe)
	}
	return false
}

// FromGateway reports whether err is an answer that a proxy gives in the place
// of an instance: 502, 503 (UNAVAILABLE) or 504. A handler's own looks the same, and bears repeating as well
// where the endpoint is safe.
func FromGateway(err error) bool {
	switch codeOf(err) {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// gaveUp reports whether the caller no longer waits. go-micro may ask for a
// retry even then, and would send it.
func gaveUp(ctx context.Context) bool { return ctx.Err() != nil }

// codeOf returns the go-micro code of err, 0 when it has none.
func codeOf(err error) int32 {
	if err == nil {
		return 0
	}
	e, _ := trace(err, Evidence{})
	return e.Code
}
