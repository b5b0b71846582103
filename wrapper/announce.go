package wrapper

import (
	"context"
	"errors"
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
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
	announced := map[string]string{MetadataServer: "1"}
	if id != "" {
		announced[MetadataStore] = id
	}
	return announced, nil
}

// announceOneStore tells whether every node announces the same dedupe store.
// One that announces none, as an instance not yet updated does, is enough for
// no: the next attempt may go there.
func announceOneStore(services []*registry.Service) bool {
	var store string
	for _, service := range services {
		for _, node := range service.Nodes {
			id := node.Metadata[MetadataStore]
			if id == "" || store != "" && store != id {
				return false
			}
			store = id
		}
	}
	return store != ""
}

// announcedSafety is the weakest safety that any version of the service
// announces for endpoint: the call may reach any of them.
func announcedSafety(services []*registry.Service, endpoint string) retryfunc.Safety {
	weakest := retryfunc.SafetySafe
	for _, service := range services {
		weakest = min(weakest, safetyIn(service.Endpoints, endpoint))
		if weakest == retryfunc.SafetyUnknown {
			return weakest
		}
	}
	if len(services) == 0 {
		return retryfunc.SafetyUnknown
	}
	return weakest
}

func safetyIn(endpoints []*registry.Endpoint, name string) retryfunc.Safety {
	for _, endpoint := range endpoints {
		if endpoint.Name != name {
			continue
		}
		safety, err := retryfunc.ParseSafety(endpoint.Metadata[retryfunc.MetadataSafety])
		if err != nil {
			return retryfunc.SafetyUnknown
		}
		return safety
	}
	return retryfunc.SafetyUnknown
}
