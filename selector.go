package oncemore

import (
	"errors"
	"fmt"
	"reflect"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/selectorx"
)

// ErrSelectorReplaced is what a service fails to start with when something replaced
// the selector of its client after the plugin had set it.
var ErrSelectorReplaced = errors.New(
	"oncemore: the selector of the service's client was replaced after oncemore set it (by --registry, --selector, " +
		"MICRO_REGISTRY, MICRO_SELECTOR or micro.Selector): apply the plugin afterwards, with service.Init() first and " +
		"then service.Init(plugin.Options()...), or keep your own with oncemore.WithOwnSelector")

// installSelector gives the service's client a flat selector in the place of
// go-micro's. Any other was chosen by the user, and stays.
func (p *Plugin) installSelector(o *micro.Options) {
	if p.options.ownSelector {
		return
	}
	stock := o.Client.Options().Selector
	if reflect.TypeOf(stock) != reflect.TypeOf(selector.NewSelector()) {
		return
	}
	flat, err := p.newFlat(stock.Options())
	if err == nil {
		err = o.Client.Init(client.Selector(flat))
	}
	if err != nil {
		micro.BeforeStart(func() error { return fmt.Errorf("oncemore: selector: %w", err) })(o)
		return
	}
	micro.BeforeStart(func() error {
		if o.Client.Options().Selector != selector.Selector(flat) {
			return ErrSelectorReplaced
		}
		return nil
	})(o)
	micro.AfterStop(flat.Close)(o)
}

// newFlat makes a selector that asks the registry that go-micro's asks, and chooses as
// it was told to. Whoever was not told anything chooses at random.
func (p *Plugin) newFlat(stock selector.Options) (*selectorx.Flat, error) {
	var opts []selectorx.FlatOption
	if stock.Registry != nil {
		opts = append(opts, selectorx.WithRegistry(stock.Registry))
	}
	if random := reflect.ValueOf(selector.Random).Pointer(); reflect.ValueOf(stock.Strategy).Pointer() != random {
		opts = append(opts, selectorx.WithFlatStrategy(stock.Strategy))
	}
	flat, err := selectorx.NewFlat(append(opts, p.options.selector...)...)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.selectors = append(p.selectors, flat)
	return flat, nil
}

// Selectors returns the selectors that the plugin has given to clients, whose Status
// tells what they know.
func (p *Plugin) Selectors() []*selectorx.Flat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*selectorx.Flat(nil), p.selectors...)
}

// Close ends what the plugin's selectors run, as the end of the service does. It is for
// clients of services that are never started; calls work after it, too. It may be
// called more than once.
func (p *Plugin) Close() error {
	var errs []error
	for _, flat := range p.Selectors() {
		errs = append(errs, flat.Close())
	}
	return errors.Join(errs...)
}
