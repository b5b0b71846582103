package wrapper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go-micro.dev/v4/codec"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// ErrServerShared is what a server does not start with that was wrapped again, under
// another service, since it was wrapped.
var ErrServerShared = errors.New("wrapper: the server was wrapped for another service since: " +
	"services of one process share go-micro's default server unless each has its own, see micro.Server")

// WrapServer installs the wrappers of NewHandlerWrapper and NewSubscriberWrapper in
// a server that has its name, and returns the server to be used in its place, which
// also sees what is registered with it. Its Start fails, before anything is announced
// or subscribed to, if an option names an endpoint that is not registered, or
// EndpointSafety one that its handler does not have. Its Subscribe fails, and so does
// its Start, if two subscriptions of one name (see Subscriber) are to one topic, or
// one is made wrongly. With server.WithRouter names are not checked.
//
// The error names every option that is wrong, its value and what is allowed, or is
// ErrWrappedTwice. Of two services that share a server, as they do go-micro's default
// one, the last that is wrapped counts; the other does not start (ErrServerShared).
// The server is safe for concurrent use. The caller drains guard before it stops.
func WrapServer(s server.Server, guard *idempotency.Guard, opts ...ServerOption) (server.Server, error) {
	if s == nil {
		return nil, errors.New("wrapper: WrapServer(nil): must be given a server")
	}
	if _, twice := s.(*wrappedServer); twice {
		return nil, ErrWrappedTwice
	}
	d, err := newDeduper(s.Options().Name, guard, opts)
	if err != nil {
		return nil, err
	}
	d.codecs = func() map[string]codec.NewCodec { return s.Options().Codecs }
	w := &wrappedServer{
		Server: s, deduper: d, handlers: make(nameSet), subscribing: make(map[server.Subscriber]namedSubscription),
	}
	if installed, ok := installedIn(s); ok {
		w.installed = installed
		installed.deduper.Store(d)
		return w, nil
	}
	w.installed = new(installedDeduper)
	w.installed.deduper.Store(d)
	return w, s.Init(w.installed.install)
}

// installedDeduper is what a server's wrappers ask. A server keeps its wrappers for
// good, and may come to serve another service.
type installedDeduper struct{ deduper atomic.Pointer[deduper] }

type installedKey struct{}

func installedIn(s server.Server) (*installedDeduper, bool) {
	ctx := s.Options().Context
	if ctx == nil {
		return nil, false
	}
	installed, ok := ctx.Value(installedKey{}).(*installedDeduper)
	return installed, ok
}

// install installs the wrappers. Copied before it is changed: what the server's
// options hold may be shared.
func (i *installedDeduper) install(o *server.Options) {
	handle := func(next server.HandlerFunc) server.HandlerFunc {
		return func(ctx context.Context, req server.Request, rsp any) error {
			return i.deduper.Load().handle(ctx, req, rsp, next)
		}
	}
	deliver := func(next server.SubscriberFunc) server.SubscriberFunc {
		return func(ctx context.Context, msg server.Message) error {
			return i.deduper.Load().deliver(ctx, msg, next)
		}
	}
	o.HdlrWrappers = append(slices.Clone(o.HdlrWrappers), handle)
	o.SubWrappers = append(slices.Clone(o.SubWrappers), deliver)
	if o.Context == nil {
		o.Context = context.Background()
	}
	o.Context = context.WithValue(o.Context, installedKey{}, i)
}

// wrappedServer sees what is registered with a server.
type wrappedServer struct {
	server.Server
	installed *installedDeduper
	deduper   *deduper

	mu          sync.Mutex
	handlers    nameSet
	subscribing map[server.Subscriber]namedSubscription // made, and not yet subscribed
	errs        []error
}

// Handle registers a handler; see server.Server.
func (w *wrappedServer) Handle(h server.Handler) error {
	if err := w.Server.Handle(h); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.Copy(w.handlers, endpointNames(h.Endpoints()))
	w.errs = append(w.errs, w.deduper.declared.learn(h)...)
	return nil
}

// NewSubscriber makes a subscriber; see server.Server.
func (w *wrappedServer) NewSubscriber(topic string, handle any, opts ...server.SubscriberOption) server.Subscriber {
	named, ok := handle.(namedSubscription)
	if !ok {
		return w.Server.NewSubscriber(topic, handle, opts...)
	}
	s := w.Server.NewSubscriber(topic, named.function(), opts...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribing[s] = named
	return s
}

// Subscribe registers a subscriber; see server.Server.
func (w *wrappedServer) Subscribe(s server.Subscriber) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	named, ok := w.subscribing[s]
	if !ok {
		return w.Server.Subscribe(s)
	}
	delete(w.subscribing, s)
	if err := w.deduper.messages.enter(s.Topic(), named.self()); err != nil {
		w.errs = append(w.errs, err)
		return err
	}
	return w.Server.Subscribe(s)
}

// Start starts the server, if what was registered with it fits its options.
func (w *wrappedServer) Start() error {
	if w.installed.deduper.Load() != w.deduper {
		return ErrServerShared
	}
	missing, err := w.check()
	switch {
	case err != nil:
		return err
	case len(missing) == 0:
		return w.Server.Start()
	}
	// What was registered before the server was wrapped is seen when it is announced.
	first := &firstRegistration{Registry: w.Server.Options().Registry, check: func(s *registry.Service) error {
		return missing.notAmong(endpointNames(s.Endpoints), w.known())
	}}
	if err := w.Init(server.Registry(first)); err != nil {
		return err
	}
	if err := w.Server.Start(); err != nil {
		return err
	}
	if err := first.refused(); err != nil {
		return errors.Join(fmt.Errorf("wrapper: the server was stopped at once: %w", err), w.Stop())
	}
	return nil
}

// check returns the endpoints that options name and that this server has not seen,
// and everything else that is wrong with what was registered.
func (w *wrappedServer) check() (missing mentions, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := errors.Join(w.errs...); err != nil || w.Server.Options().Router != nil {
		return nil, err
	}
	for _, m := range w.deduper.mentions {
		if !w.handlers.has(m.endpoint) {
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// known returns the endpoints that this server has seen.
func (w *wrappedServer) known() nameSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.handlers)
}

type mentions []mention

// notAmong returns an error that tells which are neither among the announced
// endpoints nor among those seen, which may be internal.
func (m mentions) notAmong(announced, seen nameSet) error {
	maps.Copy(announced, seen)
	var errs []error
	for _, one := range m {
		if !announced.has(one.endpoint) {
			errs = append(errs, announced.unknown(one))
		}
	}
	return errors.Join(errs...)
}

// firstRegistration is a registry with which a server registers only if what it
// announces passes a check, which is made once.
type firstRegistration struct {
	registry.Registry
	check func(*registry.Service) error

	once sync.Once
	mu   sync.Mutex
	err  error
}

// Register registers the service; see registry.Registry.
func (f *firstRegistration) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	f.once.Do(func() {
		err := f.check(s)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
	})
	if err := f.refused(); err != nil {
		return err
	}
	return f.Registry.Register(s, opts...)
}

func (f *firstRegistration) refused() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
