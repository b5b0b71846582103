package wrapper

import (
	"strings"

	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// isOwnMetadata tells whether a name is one of those that belong to one call,
// whatever its case: grpc sends names in lower case, HTTP in title case, and not
// every version of go-micro brings them back into one.
func isOwnMetadata(name string) bool {
	for _, own := range [...]string{
		idempotency.HeaderKey, idempotency.HeaderFor, idempotency.HeaderIssued,
		idempotency.HeaderRetryCount, idempotency.HeaderSent, idempotency.HeaderReleased,
		idempotency.HeaderAttemptTime, headers.Stream,
	} {
		if len(name) == len(own) && strings.EqualFold(name, own) {
			return true
		}
	}
	return false
}

// clearOwn removes the metadata that belongs to one call. A handler that reuses
// its context for its own calls would pass on that of its caller.
func clearOwn(md metadata.Metadata) {
	for name := range md {
		if isOwnMetadata(name) {
			delete(md, name)
		}
	}
}

// lookUp returns the value of name, whatever its case. Of several spellings the
// canonical one counts, else the first in the order of bytes.
func lookUp(md metadata.Metadata, name string) (value string, ok bool) {
	if value, ok = md[name]; ok {
		return value, true
	}
	var found string
	for other, its := range md {
		if len(other) == len(name) && strings.EqualFold(other, name) && (!ok || other < found) {
			found, value, ok = other, its, true
		}
	}
	return value, ok
}
