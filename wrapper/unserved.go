package wrapper

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// ruleNames are the endpoints that the client's rule lists, until a service was
// seen to serve them or they were warned of. It is safe for concurrent use.
type ruleNames struct {
	mu      sync.Mutex
	pending []string
	seen    map[string]bool // services whose endpoints were looked at
}

// checkNames warns once of an endpoint that no node lists, though the nodes of its
// service list what they serve: the one that was called in vain, and those that
// the client's rule lists. One that answers is served all the same: go-micro's
// servers need not advertise all that they handle.
func (s *call) checkNames(err error) {
	if s.endpoint == nil || s.endpoint.checked.Load() || err != nil && !s.hasAnswer() {
		return
	}
	served := servedIn(s.nodes.Services(), s.req.Service())
	if len(served) == 0 || !s.endpoint.checked.CompareAndSwap(false, true) {
		return
	}
	var warnings []func()
	if called := s.req.Endpoint(); err != nil && !serves(served, called) {
		warnings = append(warnings, s.warning("oncemore: an endpoint was called that no node lists", called, served))
	}
	for _, name := range s.client.names.unserved(s.req.Service(), served) {
		warnings = append(warnings, s.warning("oncemore: a rule lists an endpoint that no node lists", name, served))
	}
	if len(warnings) > 0 {
		s.inform(warnings)
	}
}

// hasAnswer tells whether the last attempt was answered.
func (s *call) hasAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.attempts) > 0 && s.attempts[len(s.attempts)-1].Class == retryfunc.Application
}

func (s *call) warning(message, name string, served []string) func() {
	ctx, service := s.ctx, s.req.Service()
	nearest := nearestName(strings.TrimPrefix(name, service+"/"), served)
	return func() {
		slog.WarnContext(ctx, message, slog.String("service", service), slog.String("endpoint", name),
			slog.String("nearest", nearest))
	}
}

// unserved takes from the pending names those that a service should serve, and
// does not. A name without a service is taken for one of its only if it is a slip
// of the pen away from what the service does serve.
func (n *ruleNames) unserved(service string, served []string) (wrong []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.pending) == 0 || n.seen[service] {
		return nil
	}
	if n.seen == nil {
		n.seen = make(map[string]bool)
	}
	n.seen[service] = true
	listed := slices.Clone(n.pending)
	n.pending = slices.DeleteFunc(n.pending, func(name string) bool {
		endpoint, qualified := strings.CutPrefix(name, service+"/")
		switch {
		case !qualified && strings.Contains(name, "/"): // another service's
			return false
		case serves(served, endpoint):
			return true
		case !qualified && !isSlip(nearestName(name, served), name, listed):
			return false
		}
		wrong = append(wrong, name)
		return true
	})
	return wrong
}

// isSlip tells whether name is nearly the nearest that is served, and that one is
// not listed itself.
func isSlip(nearest, name string, listed []string) bool {
	return editDistance(nearest, name) <= 2 && len(name) > 4 && !slices.Contains(listed, nearest)
}

// servedIn are the endpoints that the nodes of service list. Behind a proxy they
// are another service's, and by address nobody's.
func servedIn(services []*registry.Service, service string) (served []string) {
	for _, s := range services {
		if s.Name != service {
			continue
		}
		for _, endpoint := range s.Endpoints {
			served = append(served, endpoint.Name)
		}
	}
	return served
}

// serves tells whether an endpoint is among those that are served. grpc's clients
// may put a package before it, and a slash for a dot.
func serves(served []string, endpoint string) bool {
	dotted := strings.ReplaceAll(strings.TrimPrefix(endpoint, "/"), "/", ".")
	return slices.ContainsFunc(served, func(name string) bool {
		return name == endpoint || name == dotted || strings.HasSuffix(dotted, "."+name)
	})
}
