package wrapper

import (
	"context"
	"fmt"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// foreignKey is a warning that is given once for each pair of names.
type foreignKey struct{ madeFor, arrivedAt string }

// reportForeign tells of a call whose key was made for another one: it leaked out of
// that call, or the service has a name that it does not know of. Executed says that
// the call was executed as one without a key.
func (d *deduper) reportForeign(ctx context.Context, endpoint string, key idempotency.Key, executed bool) {
	madeFor := clip(key.For)
	kind := idempotency.EventRefused
	if executed {
		kind = idempotency.EventIgnored
	}
	this := idempotency.CallName(d.service, endpoint)
	d.guard.Report(ctx, idempotency.Event{
		Kind:  kind,
		Scope: idempotency.Scope{Service: d.service, Endpoint: d.names.recordedAs(endpoint), Key: key.Value},
		Err:   fmt.Errorf("%w: %q; this is %q", idempotency.ErrForeignKey, madeFor, this),
	})
	pair := foreignKey{madeFor, this}
	if service, _ := splitFor(madeFor); service != d.service {
		pair = foreignKey{service, d.service}
	}
	if !d.warned.first(pair) {
		return
	}
	d.guard.Logger().WarnContext(ctx, "oncemore: a key that was made for another call does not count here: if that is "+
		"another name of this service, say so with wrapper.WithAlias, else something between hands its caller's metadata on",
		"made_for", madeFor, "service", d.service, "endpoint", endpoint, "executed", executed)
}

// longestName bounds what a client can write into the log.
const longestName = 255

func clip(s string) string { return s[:min(len(s), longestName)] }
