package wrapper_test

import (
	"testing"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// announce makes services whose nodes announce the given stores, "" for none.
func announce(stores ...string) []*registry.Service {
	services := nodes()
	for i, store := range stores {
		md := map[string]string{"protocol": "mucp"}
		if store != "" {
			md[wrapper.MetadataStore] = store
		}
		address := string(rune('a' + i))
		services[0].Nodes = append(services[0].Nodes, &registry.Node{Id: address, Address: address, Metadata: md})
	}
	return services
}

func TestCarefulTrustsKeysOfOneStore(t *testing.T) {
	tests := []struct {
		name   string
		stores []string
		retry  bool
	}{
		{"one store", []string{"s1", "s1"}, true},
		{"one instance announces none", []string{"s1", ""}, false},
		{"the first announces none", []string{"", "s1"}, false},
		{"two stores", []string{"s1", "s2"}, false},
		{"none", []string{"", ""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: []error{errBroken, nil}}
			c := newWire(t, announce(tt.stores...), wire.wire)
			_, report, err := call(t.Context(), c, write)
			if retried := len(report.Attempts) == 2; retried != tt.retry || (err == nil) != tt.retry {
				t.Errorf("retried: %v, want %v; %v", retried, tt.retry, report.Attempts)
			}
		})
	}
}

func TestSafetyLearntFromTheRegistry(t *testing.T) {
	endpoint := func(safety string) *registry.Endpoint {
		return &registry.Endpoint{Name: write, Metadata: map[string]string{retryfunc.MetadataSafety: safety}}
	}
	version := func(v string, endpoints ...*registry.Endpoint) *registry.Service {
		return &registry.Service{Name: "bank", Version: v, Endpoints: endpoints,
			Nodes: []*registry.Node{{Id: v, Address: "node-" + v}}}
	}
	tests := []struct {
		name     string
		services []*registry.Service
		retry    bool
	}{
		{"safe everywhere", []*registry.Service{version("1", endpoint("safe")), version("2", endpoint("safe"))}, true},
		{"idempotent in one version", []*registry.Service{version("1", endpoint("safe")), version("2", endpoint("idempotent"))}, true},
		{"keyed in one version", []*registry.Service{version("1", endpoint("safe")), version("2", endpoint("keyed"))}, false},
		{"unknown in one version", []*registry.Service{version("1", endpoint("safe")), version("2")}, false},
		{"nonsense", []*registry.Service{version("1", endpoint("harmless")), version("2", endpoint("harmless"))}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: []error{errBroken, nil}}
			c := newWire(t, tt.services, wire.wire)
			_, report, _ := call(t.Context(), c, write)
			if retried := len(report.Attempts) == 2; retried != tt.retry {
				t.Errorf("retried: %v, want %v; %v", retried, tt.retry, report.Attempts)
			}
		})
	}
}

func TestExplicitSafetyOverridesTheRegistry(t *testing.T) {
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{write: retryfunc.SafetyUnsafe})
	if err != nil {
		t.Fatal(err)
	}
	services := nodes("a", "b")
	services[0].Endpoints = []*registry.Endpoint{{Name: write, Metadata: map[string]string{retryfunc.MetadataSafety: "safe"}}}
	wire := &recorder{answers: []error{errBroken, nil}}
	c := newWire(t, services, wire.wire, wrapper.WithSafety(rule))
	if _, report, err := call(t.Context(), c, write); err == nil || len(report.Attempts) != 1 {
		t.Errorf("attempts %v, error %v", report.Attempts, err)
	}
}
