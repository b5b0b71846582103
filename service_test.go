package oncemore_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// town is what services of one test have in common.
type town struct {
	t         *testing.T
	transport string
	registry  *fixture.Registry
	broker    broker.Broker
	events    *events
}

// eachTown runs a test over each transport.
func eachTown(t *testing.T, test func(t *testing.T, at *town)) {
	t.Helper()
	for _, name := range fixture.Transports() {
		t.Run(name, func(t *testing.T) { test(t, newTown(t, name)) })
	}
}

func newTown(t *testing.T, transport string) *town {
	t.Helper()
	memory := broker.NewMemoryBroker()
	must(t, memory.Connect())
	return &town{t: t, transport: transport, registry: fixture.NewRegistry(nil), broker: memory, events: new(events)}
}

// events are what guards report.
type events struct {
	mu   sync.Mutex
	list []idempotency.Event
}

func (e *events) hook(_ context.Context, event idempotency.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

// of returns the events of a kind.
func (e *events) of(kind idempotency.EventKind) []idempotency.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.list), func(event idempotency.Event) bool { return event.Kind != kind })
}

// plugin makes a plugin that keeps its records in store, or none if that is nil.
func (at *town) plugin(store idempotency.Store, opts ...oncemore.Option) *oncemore.Plugin {
	at.t.Helper()
	if store != nil {
		opts = append(opts, oncemore.WithStore(store, idempotency.WithHook(at.events.hook)))
	}
	p, err := oncemore.New(opts...)
	if err != nil {
		at.t.Fatal(err)
	}
	return p
}

// service makes a service as its main function does: flags first, then the plugin,
// then register, which registers handlers and subscribers.
func (at *town) service(name string, p *oncemore.Plugin, register func(micro.Service)) micro.Service {
	at.t.Helper()
	before := os.Args
	at.t.Cleanup(func() { os.Args = before })
	os.Args = []string{"test"}
	newServer := server.NewServer
	if at.transport == fixture.GRPC {
		newServer = grpcserver.NewServer
	}
	s := micro.NewService(
		micro.Client(at.stock()),
		micro.Server(newServer(server.Registry(at.registry), server.Transport(transport.NewHTTPTransport()), server.Broker(at.broker))),
		micro.Name(name), micro.Registry(at.registry), micro.Broker(at.broker), micro.Address("127.0.0.1:0"),
	)
	s.Init()
	if p != nil {
		s.Init(p.Options()...)
	}
	register(s)
	return s
}

// starting is what go-micro's service can do beside what its interface says.
type starting interface {
	Start() error
	Stop() error
}

// begin starts a service, which ends with the test.
func (at *town) begin(s micro.Service) error {
	at.t.Helper()
	started, ok := s.(starting)
	if !ok {
		at.t.Fatalf("a %T cannot be started", s)
	}
	if err := started.Start(); err != nil {
		return err
	}
	at.t.Cleanup(func() {
		if err := started.Stop(); err != nil {
			at.t.Error(err)
		}
	})
	return nil
}

// run starts a service that must start.
func (at *town) run(name string, p *oncemore.Plugin, register func(micro.Service)) micro.Service {
	at.t.Helper()
	s := at.service(name, p, register)
	if err := at.begin(s); err != nil {
		at.t.Fatal(err)
	}
	return s
}

// stock is a client of the town's services, without a plugin.
func (at *town) stock(opts ...client.Option) client.Client {
	at.t.Helper()
	sel, closeSelector, err := fixture.NewSelector(at.registry)
	if err != nil {
		at.t.Fatal(err)
	}
	at.t.Cleanup(func() {
		if err := closeSelector(); err != nil {
			at.t.Error(err)
		}
	})
	return fixture.NewClient(at.t, at.transport, nil, append([]client.Option{
		client.Selector(sel), client.Registry(at.registry), client.Broker(at.broker), client.Retries(0), client.RequestTimeout(time.Minute),
		func(o *client.Options) { o.CallOptions.ConnectionTimeout = time.Minute },
	}, opts...)...)
}

// wrapped is a client with a plugin.
func (at *town) wrapped(opts ...wrapper.ClientOption) client.Client {
	at.t.Helper()
	return newPlugin(at.t, opts...).ClientWrapper()(at.stock())
}

// must ends the test if there is an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stockWith is a client without a plugin, whose calls carry a key of the user's.
func (at *town) stockWith(key, madeFor string) client.Client {
	at.t.Helper()
	carry := func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			ctx = metadata.MergeContext(ctx, metadata.Metadata{idempotency.HeaderKey: key, idempotency.HeaderFor: madeFor}, true)
			return next(ctx, n, req, rsp, opts)
		}
	}
	return at.stock(client.WrapCall(carry))
}
