package wrapper

import (
	"context"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// MetadataStore is the key of the node metadata under which a wrapped server
// announces, through the registry, the identity of its dedupe store. Two nodes
// that announce the same identity run a key once between them.
const MetadataStore = "oncemore-store"

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

// learnSafety finds out whether the endpoint may run twice: from the user, from
// what the servers announce, from its protobuf description or HTTP verb.
func (s *call) learnSafety(ctx context.Context, req client.Request) retryfunc.Safety {
	if s.client.safety != nil {
		if safety := s.client.safety(ctx, req); safety != retryfunc.SafetyUnknown {
			return safety
		}
	}
	if safety := announcedSafety(s.nodes.Services(), req.Endpoint()); safety != retryfunc.SafetyUnknown {
		return safety
	}
	return s.client.described(ctx, req)
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
