package oncemore_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// town is what services of one test have in common.
type town struct {
	*fixture.Town

	t      *testing.T
	events *events
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
	return &town{Town: fixture.NewTown(t, transport, nil), t: t, events: new(events)}
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
	var plugin []micro.Option
	if p != nil {
		plugin = p.Options()
	}
	s := at.Service(at.t, name, plugin...)
	register(s)
	return s
}

// begin starts a service, which ends with the test.
func (at *town) begin(s micro.Service) error {
	at.t.Helper()
	return fixture.Begin(at.t, s)
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
	return at.Stock(at.t, opts...)
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
