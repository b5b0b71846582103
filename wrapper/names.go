package wrapper

import (
	"slices"
	"strings"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ownNames are the names under which a service and its endpoints are called.
type ownNames struct {
	service string
	aliases []string
	former  map[string][]string // endpoint → its former names, the oldest first
	current map[string]string   // former name → endpoint
}

// accepts tells whether a key may be used by a call to endpoint: it was made for
// that call, by whatever name of the service and the endpoint, or its client did
// not say what it was made for.
func (n *ownNames) accepts(key idempotency.Key, endpoint string) bool {
	if key.IsFor(n.service, endpoint) {
		return true
	}
	service, called := splitFor(key.For)
	if service != n.service && !slices.Contains(n.aliases, service) {
		return false
	}
	endpoint = n.currentOf(endpoint)
	return called == endpoint || slices.Contains(n.former[endpoint], called)
}

// splitFor splits what a key was made for. An endpoint has no slash in it.
func splitFor(name string) (service, endpoint string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// currentOf is the name of today of an endpoint that is called by a former one.
func (n *ownNames) currentOf(endpoint string) string {
	if current, ok := n.current[endpoint]; ok {
		return current
	}
	return endpoint
}

// recordedAs is the name under which the records of an endpoint are kept: its
// oldest, so that they are found whichever name a call has.
func (n *ownNames) recordedAs(endpoint string) string {
	if former := n.former[n.currentOf(endpoint)]; len(former) > 0 {
		return former[0]
	}
	return endpoint
}
