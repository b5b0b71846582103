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
	seen, wrapped := new(witness), p.client(o.Client)
	o.Client = seen.watch(wrapped)
	micro.BeforeStart(func() error { return errors.Join(seen.check(o), wrapper.Check(wrapped)) })(o)
}

// installServer wraps the service's handlers and subscribers. What is wrong with
// them is an error when the service starts: an option cannot return one.
func (p *Plugin) installServer(o *micro.Options) {
	wrapped := o.Server
	name := wrapped.Options().Name
	err := p.wrapServer(wrapped, name)
	micro.BeforeStart(func() error {
		switch {
		case err != nil:
			return err
		case o.Server != wrapped || o.Server.Options().Name != name:
			return fmt.Errorf("oncemore: the server %q was replaced or renamed after oncemore wrapped it: "+
				"apply the plugin after service.Init(), micro.Name and micro.Server", name)
		}
		return p.announce(o)
	})(o)
	micro.BeforeStop(p.drain)(o)
}

func (p *Plugin) wrapServer(s server.Server, name string) error {
	handlers, err := p.HandlerWrapper(name)
	if err != nil {
		return err
	}
	subscribers, err := p.SubscriberWrapper(name)
	if err != nil {
		return err
	}
	return s.Init(server.WrapHandler(handlers), server.WrapSubscriber(subscribers))
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
