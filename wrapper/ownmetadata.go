package wrapper

import (
	"strings"

	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/transport/headers"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// The metadata that belongs to one call.
const (
	ownKey = iota
	ownFor
	ownIssued
	ownRetryCount
	ownSent
	ownReleased
	ownAttemptTime
	ownStream
	ownCount
)

// ownOf tells which of it has a name, whatever its case: grpc sends names in lower
// case, HTTP in title case, and not every version of go-micro brings them back into one.
func ownOf(name string) (i int, canonical string, ok bool) {
	for i, own := range [ownCount]string{
		idempotency.HeaderKey, idempotency.HeaderFor, idempotency.HeaderIssued,
		idempotency.HeaderRetryCount, idempotency.HeaderSent, idempotency.HeaderReleased,
		idempotency.HeaderAttemptTime, headers.Stream,
	} {
		if len(name) == len(own) && (name == own || strings.EqualFold(name, own)) {
			return i, own, true
		}
	}
	return 0, "", false
}

// hasOwn tells whether there is any of it in md.
func hasOwn(md metadata.Metadata) bool {
	for name := range md {
		if _, _, own := ownOf(name); own {
			return true
		}
	}
	return false
}

// withoutOwn returns a copy of md without what belongs to one call, and with room for so
// much more. A handler that reuses its context for its own calls would pass on that of its
// caller.
func withoutOwn(md metadata.Metadata, more int) metadata.Metadata {
	others := make(metadata.Metadata, len(md)+more)
	for name, value := range md {
		if _, _, own := ownOf(name); !own {
			others[name] = value
		}
	}
	return others
}

// ownValues are the values of what belongs to one call.
type ownValues struct {
	values  [ownCount]string
	present [ownCount]bool
}

// readOwn reads what belongs to one call, and tells whether there is any. Of several
// spellings of a name that of lookUp counts.
func readOwn(md metadata.Metadata) (own ownValues, found bool) {
	var spelled [ownCount]string
	for name, value := range md {
		i, canonical, ok := ownOf(name)
		if !ok {
			continue
		}
		found = true
		if !own.present[i] || spelled[i] != canonical && (name == canonical || name < spelled[i]) {
			own.values[i], own.present[i], spelled[i] = value, true, name
		}
	}
	return own, found
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
