package wrapper_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// middle is a wrapped instance that makes the same call of the next service, of which
// there are several instances.
func middle(i fixture.Instance) ([]server.Option, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store)
	if err != nil {
		return nil, err
	}
	wrap, err := wrapper.NewHandlerWrapper(i.Service, guard)
	if err != nil {
		return nil, err
	}
	if next := os.Getenv(envNext); next != "" {
		sel, reg, _, err := announcedNodes(strings.Split(next, ",")) // until the process ends
		if err != nil {
			return nil, err
		}
		w, err := everythingSafe()
		if err != nil {
			return nil, err
		}
		c := clientOf(i.Transport, client.Selector(sel), client.Registry(reg), client.Broker(broker.NewMemoryBroker()))
		i.Handle(&Hop{client: w(c), endpoint: os.Getenv(envEndpoint)})
	}
	return []server.Option{server.WrapHandler(wrap)}, nil
}

func clientOf(transport string, opts ...client.Option) client.Client {
	if transport == fixture.GRPC {
		return grpcclient.NewClient(opts...)
	}
	return client.NewClient(append(opts, client.ContentType("application/protobuf"))...)
}

// announcedNodes are instances that announce themselves as the plugin has them do.
func announcedNodes(addresses []string) (_ selector.Selector, _ registry.Registry, end func() error, _ error) {
	reg := fixture.NewRegistry(nil)
	service := &registry.Service{Name: fixture.DefaultService, Version: "latest"}
	for _, address := range addresses {
		service.Nodes = append(service.Nodes, &registry.Node{
			Id: address, Address: address, Metadata: map[string]string{"protocol": "mucp", wrapper.MetadataServer: "2"},
		})
	}
	if err := reg.Register(service); err != nil {
		return nil, nil, nil, err
	}
	sel, end, err := fixture.NewSelector(reg)
	return sel, reg, end, err
}

// edgeOf is a wrapped client of instances that announce themselves.
func edgeOf(t testing.TB, transport string, addresses []string, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	sel, reg, end, err := announcedNodes(addresses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	w, err := everythingSafe(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w(fixture.NewClient(t, transport, nil, client.Selector(sel), client.Registry(reg)))
}

func everythingSafe(opts ...wrapper.ClientOption) (client.Wrapper, error) {
	return wrapper.NewClientWrapper(append(opts, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)))...)
}

// hops is a chain of services, a, b and so on, each with several instances, the last
// of which are called by nobody's handler but the chain's.
type hops struct {
	edge  client.Client
	nodes [][]*fixture.Node // by hop
}

// startHops starts a chain of as many hops as instances are given, whose last service
// is called at endpoint.
func startHops(t *testing.T, transport, endpoint string, instances ...int) hops {
	t.Helper()
	h := hops{nodes: make([][]*fixture.Node, len(instances))}
	var next []string
	for hop := len(instances) - 1; hop >= 0; hop-- {
		env := []string{envNext + "=" + strings.Join(next, ","), envEndpoint + "=" + endpoint}
		next = nil
		for range instances[hop] {
			n := fixture.Start(t, fixture.Config{Transport: transport, Setup: "middle", Env: env})
			h.nodes[hop], next = append(h.nodes[hop], n), append(next, n.Address())
		}
		if hop < len(instances)-1 {
			endpoint = hopGo
		}
	}
	h.edge = edgeOf(t, transport, next)
	return h
}

func (h hops) call(ctx context.Context, value string, within time.Duration, opts ...client.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := fixture.Call(ctx, h.edge, hopGo, value, opts...)
	return err
}

// executions is how often the leaf was executed.
func (h hops) executions(endpoint string) (n int) {
	for _, leaf := range h.nodes[len(h.nodes)-1] {
		n += leaf.Executions(endpoint)
	}
	return n
}

// TestOneLayerRetries: a call whose leaf fails, or answers nothing, is made at the leaf
// as often as one call is made, not as often as each of the services between would.
func TestOneLayerRetries(t *testing.T) {
	const calls = 4
	leaves := []struct{ name, endpoint, value string }{
		{"fails", fixture.InternalError, "no"},
		{"hangs", fixture.Sleep, "3s"},
	}
	eachTransport(t, func(t *testing.T, transport string) {
		for _, leaf := range leaves {
			for _, instances := range [][]int{{1, 1, 1}, {3, 3, 3}, {2, 2, 2}, {1, 3, 2}} {
				t.Run(fmt.Sprint(leaf.name, instances), func(t *testing.T) {
					t.Parallel()
					h := startHops(t, transport, leaf.endpoint, instances...)
					for range calls {
						if err := h.call(t.Context(), leaf.value, time.Second); err == nil {
							t.Fatal("a call was answered")
						}
					}
					if got := h.executions(leaf.endpoint); got > 3*calls || got < calls {
						t.Errorf("%d calls were executed %d times", calls, got)
					}
				})
			}
		}
	})
}

// TestOneLayerRetriesUnderLoad: at 100 calls a second the budget of one layer counts,
// which is that of one process here.
func TestOneLayerRetriesUnderLoad(t *testing.T) {
	const calls, every = 500, 10 * time.Millisecond
	tests := []struct {
		name, endpoint, value string
		instances             []int
	}{
		{"fails", fixture.InternalError, "no", []int{1, 1, 1}},
		{"fails, several", fixture.InternalError, "no", []int{3, 3, 3}},
		{"hangs", fixture.Sleep, "1500ms", []int{1, 1, 1}},
		{"hangs, several", fixture.Sleep, "1500ms", []int{3, 3, 3}},
	}
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				h := startHops(t, transport, tt.endpoint, tt.instances...)
				var wg sync.WaitGroup
				tick := time.NewTicker(every)
				defer tick.Stop()
				for range calls {
					<-tick.C
					wg.Go(func() { _ = h.call(t.Context(), tt.value, time.Second) })
				}
				wg.Wait()
				got := float64(h.executions(tt.endpoint)) / calls
				t.Logf("%.2f executions a call", got)
				if got > 1.5 {
					t.Errorf("a call was executed %.2f times", got)
				}
			})
		}
	})
}

// TestOneInstanceHangs: that one layer retries does not keep a call from the instance
// that would answer it, wherever on its way one hangs.
func TestOneInstanceHangs(t *testing.T) {
	const calls = 6
	eachTransport(t, func(t *testing.T, transport string) {
		for hop := range 3 {
			for _, n := range []int{2, 3} {
				t.Run(fmt.Sprintf("hop %d of %d", hop+1, n), func(t *testing.T) {
					t.Parallel()
					h := startHops(t, transport, fixture.Sleep, n, n, n)
					h.nodes[hop][0].Freeze()
					defer h.nodes[hop][0].Thaw()
					for i := range calls {
						var story wrapper.Report
						if err := h.call(t.Context(), "1ms", 4*time.Second, wrapper.WithStory(&story)); err != nil {
							t.Errorf("call %d: %v: %s", i+1, err, story.Story())
						}
					}
				})
			}
		}
	})
}

// TestOwnTroubleOfTheMiddle: what an instance cannot reach another may.
func TestOwnTroubleOfTheMiddle(t *testing.T) {
	const calls = 6
	eachTransport(t, func(t *testing.T, transport string) {
		leaf := fixture.Start(t, fixture.Config{Transport: transport, Setup: "middle"})
		start := func(next ...string) *fixture.Node {
			return fixture.Start(t, fixture.Config{
				Transport: transport, Setup: "middle",
				Env: []string{envNext + "=" + strings.Join(next, ","), envEndpoint + "=" + fixture.Sleep},
			})
		}
		lost := start(fixture.RefusedAddress(t), fixture.RefusedAddress(t))
		sound := start(leaf.Address())
		h := hops{edge: edgeOf(t, transport, []string{lost.Address(), sound.Address()})}
		for i := range calls {
			var story wrapper.Report
			if err := h.call(t.Context(), "1ms", 4*time.Second, wrapper.WithStory(&story)); err != nil {
				t.Errorf("call %d: %v: %s", i+1, err, story.Story())
			}
		}
	})
}
