//go:build linux

package consultest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4/registry"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/consultest"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leak.GoMicro()...) }

// service is one node of a service, as go-micro registers it.
func service() *registry.Service {
	return &registry.Service{
		Name:    "callee",
		Version: "latest",
		Nodes: []*registry.Node{{
			Id:       "callee-1",
			Address:  "127.0.0.1:4242",
			Metadata: map[string]string{"dedupe": "a-store"},
		}},
		Endpoints: []*registry.Endpoint{{
			Name:     "Say.Hello",
			Metadata: map[string]string{"idempotency": "safe"},
		}},
	}
}

// nodes returns the addresses of a service's nodes that are not critical.
func nodes(reg registry.Registry, name string) ([]string, error) {
	services, err := reg.GetService(name)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, s := range services {
		for _, n := range s.Nodes {
			addresses = append(addresses, n.Address)
		}
	}
	return addresses, nil
}

func TestAgentServesTheRegistry(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	reg := consul.NewRegistry(registry.Addrs(agent.Address()))
	if err := reg.Register(service(), registry.RegisterTTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	found, err := reg.GetService("callee")
	if err != nil || len(found) != 1 || len(found[0].Nodes) != 1 || len(found[0].Endpoints) != 1 {
		t.Fatalf("GetService = %v, %v, want one service with one node and one endpoint", found, err)
	}
	node, endpoint := found[0].Nodes[0], found[0].Endpoints[0]
	if node.Id != "callee-1" || node.Address != "127.0.0.1:4242" || node.Metadata["dedupe"] != "a-store" {
		t.Errorf("node = %+v, want it as registered", node)
	}
	if endpoint.Name != "Say.Hello" || endpoint.Metadata["idempotency"] != "safe" {
		t.Errorf("endpoint = %+v, want it as registered", endpoint)
	}
	listed, err := reg.ListServices()
	if err != nil || !contains(listed, "callee") {
		t.Errorf("ListServices = %v, %v, want callee among them", listed, err)
	}
	if err := reg.Deregister(service()); err != nil {
		t.Fatal(err)
	}
	if left, err := nodes(reg, "callee"); err != nil || len(left) != 0 {
		t.Errorf("nodes = %v, %v after Deregister, want none", left, err)
	}
}

func contains(services []*registry.Service, name string) bool {
	for _, s := range services {
		if s.Name == name {
			return true
		}
	}
	return false
}

func TestAgentKillAndRestart(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	reg := consul.NewRegistry(registry.Addrs(agent.Address()))
	register := func() {
		t.Helper()
		if err := reg.Register(service(), registry.RegisterTTL(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if found, err := nodes(reg, "callee"); err != nil || len(found) != 1 {
			t.Fatalf("nodes = %v, %v, want one", found, err)
		}
	}
	register()
	agent.Kill()
	if _, err := net.Dial("tcp", agent.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Kill = %v, want it refused", err)
	}
	if found, err := nodes(reg, "callee"); err == nil {
		t.Errorf("nodes = %v after Kill, want an error", found)
	}
	agent.Restart()
	if found, err := nodes(reg, "callee"); err != nil || len(found) != 0 {
		t.Errorf("nodes = %v, %v after Restart, want none: the agent forgets", found, err)
	}
	register() // as go-micro does at its register interval
}

func TestAgentFreezeAndThaw(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	ask := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		url := "http://" + agent.Address() + "/v1/status/leader"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		rsp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return err
		}
		return rsp.Body.Close()
	}
	agent.Freeze()
	if err := ask(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("answer of a frozen agent: %v, want none", err)
	}
	agent.Thaw()
	if err := ask(time.Minute); err != nil {
		t.Errorf("answer after Thaw: %v", err)
	}
}

// TestAgentForgetsTheDead follows a node whose process died: it turns
// critical when its TTL ends, at once unknown to callers, is deregistered a
// minute later, and comes back when the process does.
func TestAgentForgetsTheDead(t *testing.T) {
	t.Parallel()
	agent := consultest.Start(t)
	reg := consul.NewRegistry(registry.Addrs(agent.Address()))
	if err := reg.Register(service(), registry.RegisterTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "the node to turn critical", func() (bool, error) {
		found, err := nodes(reg, "callee")
		return len(found) == 0, err
	})
	if listed, err := reg.ListServices(); err != nil || !contains(listed, "callee") {
		t.Errorf("ListServices = %v, %v while critical, want callee among them", listed, err)
	}
	await(t, 3*time.Minute, "the node to be deregistered", func() (bool, error) {
		listed, err := reg.ListServices()
		return !contains(listed, "callee"), err
	})
	if err := reg.Register(service(), registry.RegisterTTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if found, err := nodes(reg, "callee"); err != nil || len(found) != 1 {
		t.Errorf("nodes = %v, %v after it came back, want one", found, err)
	}
}

func await(t *testing.T, patience time.Duration, what string, happened func() (bool, error)) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		ok, err := happened()
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok {
			return
		}
		if time.Since(start) > patience {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// fatal takes down how a test would have been failed.
type fatal struct {
	testing.TB

	message string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestStartWithoutAgent(t *testing.T) {
	t.Setenv("CONSUL_BIN", "/nowhere/consul")
	f := &fatal{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { consultest.Start(f) })
	wg.Wait()
	if !strings.Contains(f.message, "/nowhere/consul") || !strings.Contains(f.message, "correct CONSUL_BIN") {
		t.Errorf("failure = %q, want it to name the file and what to do", f.message)
	}
}
