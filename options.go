package oncemore

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// DefaultDrainTimeout is how long a stopping service waits for its running
// executions, unless WithDrainTimeout says otherwise.
const DefaultDrainTimeout = 30 * time.Second

// Options is what the Option functions set.
type Options struct {
	client   []wrapper.ClientOption
	server   []wrapper.ServerOption
	store    idempotency.Store
	settings []idempotency.Option
	drain    time.Duration
	selector []selectorx.FlatOption
	// observers see the client, the server and the selector.
	observers []wrapper.Observer
	// ownSelector keeps the selector that the client has.
	ownSelector bool
	errs        []error
}

// Option configures New.
type Option func(*Options)

// WithClient adds options for the service's outgoing calls. Without any, calls
// are retried as retryfunc.Careful says.
func WithClient(opts ...wrapper.ClientOption) Option {
	return func(o *Options) { o.client = append(o.client, opts...) }
}

// WithStore deduplicates the service's incoming calls and messages in store,
// with the given settings. All instances of a service must use the same store.
// Without it only outgoing calls are wrapped. The caller owns the store, and
// closes it after the service has stopped.
func WithStore(store idempotency.Store, settings ...idempotency.Option) Option {
	return func(o *Options) {
		if store == nil {
			o.errs = append(o.errs, errors.New("oncemore: WithStore(nil): must be a store such as sqlstore.New makes"))
		}
		o.store = store
		o.settings = append(o.settings, settings...)
	}
}

// WithServer adds options for the service's incoming calls and messages. They
// have no effect without WithStore, which is an error.
func WithServer(opts ...wrapper.ServerOption) Option {
	return func(o *Options) { o.server = append(o.server, opts...) }
}

// WithObserver adds an observer of everything: outgoing calls, their attempts, the
// instances, the selector that the plugin gives to the client, and, with a store, the
// incoming requests and messages. See wrapper.Event for what there is to see, and package
// telemetry for one that tells OpenTelemetry. Given again it adds another.
func WithObserver(o wrapper.Observer) Option {
	return func(opts *Options) {
		if o == nil {
			opts.errs = append(opts.errs, errors.New("oncemore: WithObserver(nil): must be an observer such as a wrapper.ObserverFunc"))
			return
		}
		opts.observers = append(opts.observers, o)
	}
}

// WithDrainTimeout sets how long a stopping service waits for its running
// executions before its server stops. More than 0; default DefaultDrainTimeout.
func WithDrainTimeout(d time.Duration) Option {
	return func(o *Options) {
		if d <= 0 {
			o.errs = append(o.errs, fmt.Errorf("oncemore: WithDrainTimeout(%v): must be more than 0", d))
		}
		o.drain = d
	}
}

// WithSelector adds options for the selector that the plugin gives to the service's
// client. Its registry is that of the selector it replaces, unless they say otherwise.
func WithSelector(opts ...selectorx.FlatOption) Option {
	return func(o *Options) {
		if _, err := selectorx.NewFlat(opts...); err != nil { // asks nobody, and is forgotten
			o.errs = append(o.errs, fmt.Errorf("oncemore: WithSelector: %w", err))
		}
		o.selector = append(o.selector, opts...)
	}
}

// WithOwnSelector keeps the selector that the service's client has, whatever it is. By
// default go-micro's own is replaced, and any other is kept. Nodes are switched and
// ejected over every selector; only a selectorx.Flat balances by load and latency.
func WithOwnSelector() Option {
	return func(o *Options) { o.ownSelector = true }
}

func newOptions(opts []Option) (Options, error) {
	var o Options
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("oncemore: nil option: leave it out instead")
		}
		opt(&o)
	}
	if len(o.server) > 0 && o.store == nil {
		o.errs = append(o.errs, errors.New("oncemore: WithServer: needs WithStore"))
	}
	if o.drain > 0 && o.store == nil {
		o.errs = append(o.errs, errors.New("oncemore: WithDrainTimeout: needs WithStore, whose executions it waits for"))
	}
	o.drain = cmp.Or(o.drain, DefaultDrainTimeout)
	if o.ownSelector && len(o.selector) > 0 {
		o.errs = append(o.errs, errors.New("oncemore: WithSelector: not together with WithOwnSelector"))
	}
	if err := o.observe(); err != nil {
		o.errs = append(o.errs, err)
	}
	return o, errors.Join(o.errs...)
}

// observe gives the observers to every part.
func (o *Options) observe() error {
	if len(o.observers) == 0 {
		return nil
	}
	for _, one := range o.observers {
		o.client = append(o.client, wrapper.WithObserver(one))
		o.server = append(o.server, wrapper.WithServerObserver(one))
	}
	selector, err := wrapper.Observing(o.observers...)
	o.selector = append(o.selector, selector)
	return err
}
