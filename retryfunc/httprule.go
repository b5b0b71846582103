package retryfunc

import (
	"context"
	"strings"

	"go-micro.dev/v4/client"
)

// httpSafety holds the methods of RFC 9110 §9.3 and what §9.2 says of them, and
// PATCH (RFC 5789 §2: neither safe nor idempotent).
var httpSafety = [...]struct {
	verb   string
	safety Safety
}{
	{"GET", SafetySafe},
	{"HEAD", SafetySafe},
	{"OPTIONS", SafetySafe},
	{"TRACE", SafetySafe},
	{"PUT", SafetyIdempotent},
	{"DELETE", SafetyIdempotent},
	{"POST", SafetyUnsafe},
	{"PATCH", SafetyUnsafe},
	{"CONNECT", SafetyUnsafe},
}

// HTTPRule judges endpoints that are an HTTP verb in capitals, or begin with
// one, such as "PUT /users/7", as RFC 9110 §9.2 does. It has no opinion of
// others. A PUT or DELETE that is not idempotent, one that adds for instance,
// needs an [Endpoints] entry ahead of this rule.
func HTTPRule() Rule {
	return func(_ context.Context, req client.Request) Safety {
		endpoint := req.Endpoint()
		for _, known := range httpSafety {
			if rest, ok := strings.CutPrefix(endpoint, known.verb); ok && endsVerb(rest) {
				return known.safety
			}
		}
		return SafetyUnknown
	}
}

func endsVerb(rest string) bool {
	return rest == "" || rest[0] == ' ' || rest[0] == '/'
}
