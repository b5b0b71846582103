package retryfunc

import (
	"context"
	"net/http"
	"strings"

	"go-micro.dev/v4/client"
)

// HTTPRule judges endpoints that are an HTTP verb in capitals, or begin with
// one, such as "PUT /users/7", as RFC 9110 §9.2 does (and RFC 5789 §2 for
// PATCH). It has no opinion of others. A PUT or DELETE that is not idempotent,
// one that adds for instance, needs an [Endpoints] entry ahead of this rule.
func HTTPRule() Rule {
	return func(_ context.Context, req client.Request) Safety {
		verb := req.Endpoint()
		if end := strings.IndexAny(verb, " /"); end >= 0 {
			verb = verb[:end]
		}
		switch verb {
		case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
			return SafetySafe
		case http.MethodPut, http.MethodDelete:
			return SafetyIdempotent
		case http.MethodPost, http.MethodPatch, http.MethodConnect:
			return SafetyUnsafe
		default:
			return SafetyUnknown
		}
	}
}
