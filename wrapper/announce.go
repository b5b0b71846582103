package wrapper

import (
	"context"
	"errors"
	"fmt"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// MetadataStore is the key of the node metadata under which a wrapped server
// announces, through the registry, the identity of its dedupe store. Two nodes
// that announce the same identity run a key once between them.
const MetadataStore = "oncemore-store"

// NodeMetadata is what a server that is wrapped with guard and opts announces of
// itself through the registry: give it to server.Metadata or micro.Metadata. The
// plugin does so by itself.
//
// The identity of the store is among it only if every endpoint may be trusted
// with a key: one that executes without a record while the store is away
// (idempotency.FailOpen, also as a setting of one endpoint) keeps the instance
// from announcing it. The error is the store's, or names a wrong option.
func NodeMetadata(ctx context.Context, guard *idempotency.Guard, opts ...ServerOption) (map[string]string, error) {
	o, err := newServerOptions(opts)
	if guard == nil {
		err = errors.Join(err, errNoGuard)
	}
	if err != nil {
		return nil, err
	}
	guards, err := o.guards(guard)
	if err != nil {
		return nil, err
	}
	id, err := guard.Announce(ctx)
	for _, own := range guards {
		if err != nil || id == "" {
			break
		}
		id, err = own.Announce(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("wrapper: ask the store for its identity: %w", err)
	}
	announced := map[string]string{MetadataServer: serverVersion}
	if id != "" {
		announced[MetadataStore] = id
	}
	return announced, nil
}
