package oncemore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// ErrClientReplaced is what a service fails to start with when something
// replaced its client after the plugin had wrapped it.
var ErrClientReplaced = errors.New(
	"oncemore: the service's client was replaced after oncemore wrapped it (by --client, MICRO_CLIENT or " +
		"micro.Client): apply the plugin afterwards, with service.Init() first and then " +
		"service.Init(plugin.Options()...)")

// installClient wraps the service's client, and has it checked at the start that
// the wrapped one is still in place.
func (p *Plugin) installClient(o *micro.Options) {
	detector, wrapped := new(replacementDetector), p.client(o.Client)
	o.Client = detector.watch(wrapped)
	micro.BeforeStart(func() error { return errors.Join(detector.check(o), wrapper.Check(wrapped)) })(o)
}

// installServer wraps the service's server. What is wrong with it is an error when
// the service starts: an option cannot return one.
func (p *Plugin) installServer(o *micro.Options) {
	name := o.Server.Options().Name
	wrapped, err := wrapper.WrapServer(o.Server, p.guard, p.options.server...)
	if err != nil {
		micro.BeforeStart(func() error { return fmt.Errorf("oncemore: %w", err) })(o)
		return
	}
	o.Server = wrapped
	micro.BeforeStart(func() error {
		if o.Server != wrapped || wrapped.Options().Name != name {
			return fmt.Errorf("oncemore: the server %q was replaced or renamed after oncemore wrapped it: "+
				"apply the plugin after service.Init(), micro.Name and micro.Server", name)
		}
		return p.announce(o)
	})(o)
	micro.BeforeStop(p.drain)(o)
}

// refuseSubscribers has a service not start whose subscribers count on a store.
func (p *Plugin) refuseSubscribers(o *micro.Options) {
	micro.BeforeStart(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.subscribed) == 0 {
			return nil
		}
		return fmt.Errorf("oncemore: Subscriber(%q): %w", p.subscribed, ErrNoStore)
	})(o)
}

// announceTimeout is how long a store may take to tell its identity.
const announceTimeout = 10 * time.Second

// announce tells clients, through the registry, that this instance deduplicates
// and in which store. A store that does not answer must not be found out by the
// first call.
func (p *Plugin) announce(o *micro.Options) error {
	ctx, cancel := context.WithTimeout(o.Context, announceTimeout)
	defer cancel()
	announced, err := wrapper.NodeMetadata(ctx, p.guard, p.options.server...)
	if err != nil {
		return fmt.Errorf("oncemore: %w", err)
	}
	metadata := maps.Clone(o.Server.Options().Metadata)
	if metadata == nil {
		metadata = make(map[string]string, len(announced))
	}
	maps.Copy(metadata, announced)
	return o.Server.Init(server.Metadata(metadata))
}

// drain lets the running executions end, and refuses new ones, so that their
// callers go to another instance.
func (p *Plugin) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.options.drain)
	defer cancel()
	if err := p.guard.Drain(ctx); err != nil {
		return fmt.Errorf("oncemore: drain: %w", err)
	}
	return nil
}
