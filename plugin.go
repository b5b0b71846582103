package oncemore

import (
	"errors"
	"fmt"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// Plugin is oncemore for one service. It is safe for concurrent use.
type Plugin struct {
	client client.Wrapper
}

// New makes a Plugin. The error names every option that is wrong, its value and
// what is allowed.
func New(opts ...Option) (*Plugin, error) {
	var o Options
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("oncemore: nil option: leave it out instead")
		}
		opt(&o)
	}
	wrap, err := wrapper.NewClientWrapper(o.client...)
	if err != nil {
		return nil, fmt.Errorf("oncemore: %w", err)
	}
	return &Plugin{client: wrap}, nil
}

// ClientWrapper returns the wrapper of the service's client, for those who
// install it themselves with client.Wrap or micro.WrapClient. All clients it
// wraps share one retry budget and one set of circuits.
func (p *Plugin) ClientWrapper() client.Wrapper { return p.client }

// ErrClientReplaced is what a service fails to start with when something
// replaced its client after the plugin had wrapped it.
var ErrClientReplaced = errors.New(
	"oncemore: the service's client was replaced after oncemore wrapped it (by --client, MICRO_CLIENT or " +
		"micro.Client): apply the plugin afterwards, with service.Init() first and then " +
		"service.Init(plugin.Options()...)")

// Options returns the options that install the plugin. Apply them after the
// flags have been read, because --client replaces the client with everything
// that was wrapped around it:
//
//	service.Init()
//	service.Init(plugin.Options()...)
//
// A service whose client was replaced later refuses to start, with
// ErrClientReplaced. Wrappers that other options add stay where they are:
// those added later are outside of oncemore's.
func (p *Plugin) Options() []micro.Option {
	return []micro.Option{p.wrapClient}
}

// wrapClient wraps the service's client, and has it checked at the start that
// the wrapped one is still in place.
func (p *Plugin) wrapClient(o *micro.Options) {
	seen := &witness{}
	o.Client = seen.watch(p.client(o.Client))
	micro.BeforeStart(func() error { return seen.check(o) })(o)
}
