package oncemore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Plugin is oncemore for one service. It is safe for concurrent use.
type Plugin struct {
	options Options
	client  client.Wrapper
	guard   *idempotency.Guard // nil: incoming calls are not wrapped

	mu         sync.Mutex
	subscribed []string // names of what Subscriber was asked for
	selectors  []*selectorx.Flat
}

// New makes a Plugin. The error names every option that is wrong, its value and
// what is allowed.
func New(opts ...Option) (*Plugin, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	p := &Plugin{options: o}
	if p.client, err = wrapper.NewClientWrapper(o.client...); err != nil {
		return nil, fmt.Errorf("oncemore: WithClient: %w", err)
	}
	if o.store == nil {
		return p, nil
	}
	if p.guard, err = idempotency.New(o.store, o.settings...); err != nil {
		return nil, fmt.Errorf("oncemore: WithStore: %w", err)
	}
	// What is wrong with the server's options is known before there is a server.
	if _, err = wrapper.NewHandlerWrapper("unnamed", p.guard, o.server...); err != nil {
		return nil, fmt.Errorf("oncemore: WithServer: %w", err)
	}
	return p, nil
}

// ErrNoStore is the error of what needs a store in a Plugin made without one.
var ErrNoStore = errors.New("oncemore: the plugin has no store: make it with oncemore.WithStore")

// ClientWrapper returns the wrapper of the service's client, for those who
// install it themselves with client.Wrap or micro.WrapClient. All clients it
// wraps share one retry budget and one set of circuits.
func (p *Plugin) ClientWrapper() client.Wrapper { return p.client }

// HandlerWrapper returns the wrapper of the handlers of the named service, for
// those who install it themselves with server.WrapHandler. They drain Guard
// before the server stops. The error is ErrNoStore, or names a wrong option.
func (p *Plugin) HandlerWrapper(service string) (server.HandlerWrapper, error) {
	if p.guard == nil {
		return nil, ErrNoStore
	}
	return wrapper.NewHandlerWrapper(service, p.guard, p.options.server...)
}

// SubscriberWrapper is HandlerWrapper for messages: see wrapper.NewSubscriberWrapper.
func (p *Plugin) SubscriberWrapper(service string) (server.SubscriberWrapper, error) {
	if p.guard == nil {
		return nil, ErrNoStore
	}
	return wrapper.NewSubscriberWrapper(service, p.guard, p.options.server...)
}

// Guard returns the guard of incoming calls, or nil if the plugin has no store.
func (p *Plugin) Guard() *idempotency.Guard { return p.guard }

// Subscriber returns a subscriber that handles each message once, for
// micro.RegisterSubscriber:
//
//	micro.RegisterSubscriber("orders", service.Server(), oncemore.Subscriber(plugin, "audit", handle))
//
// Installing the plugin deduplicates no subscriber by itself. name is what tells this
// one from others of the service with the same topic; two of one name are an error of
// RegisterSubscriber, and of the service when it starts. wrapper.Subscriber says all
// the rest. A plugin without a store, or a nil one, is an error when the service
// starts, and of every message.
func Subscriber[T any](
	p *Plugin, name string, handle func(context.Context, *T) error, opts ...wrapper.SubscriptionOption,
) *wrapper.Subscription[T] {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.subscribed = append(p.subscribed, name)
	}
	return wrapper.Subscriber(name, handle, opts...)
}

// Options returns the options that install the plugin. Apply them after the
// flags have been read, because --client, --registry and --server replace what was
// wrapped or set:
//
//	service.Init()
//	service.Init(plugin.Options()...)
//
// They give the client a selectorx.Flat in the place of go-micro's own selector, with
// its registry and its strategy; any other selector stays, see also WithOwnSelector. It
// is closed when the service has stopped.
//
// With a store, they also announce its identity through the registry when the
// service starts, and drain the running executions before it stops. A service
// does not start if its client was replaced after it had been wrapped
// (ErrClientReplaced), if its selector was (ErrSelectorReplaced), if its name has
// changed, if the plugin was installed twice, if an attempt may take longer than a
// call (see wrapper.Check), if its store does not answer, or if an option names an
// endpoint that is not registered (see
// wrapper.WrapServer, which wraps the service's server). Given to micro.NewService
// they work too, but a client that flags replace afterwards goes unnoticed, since only
// Init lets an option see what becomes of a service. Wrappers that other options add
// stay where they are: client wrappers added later are outside of oncemore's, handler
// wrappers added later are inside.
func (p *Plugin) Options() []micro.Option {
	if p.guard == nil {
		return []micro.Option{p.installClient, p.installSelector, p.refuseSubscribers}
	}
	return []micro.Option{p.installClient, p.installSelector, p.installServer}
}
