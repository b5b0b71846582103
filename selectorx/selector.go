package selectorx

import (
	"errors"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// SelectorOptions collects what the With functions of NewSelector set.
type SelectorOptions struct {
	balancer  *Balancer
	retriable bool
	reporter  func(service string, node *registry.Node, err error)
}

// SelectorOption sets one of the SelectorOptions of NewSelector.
type SelectorOption func(*SelectorOptions)

// WithBalancer sets whose ejector and cap the selector goes by. Nil, the
// default, ejects nothing: calls only switch nodes.
func WithBalancer(b *Balancer) SelectorOption {
	return func(o *SelectorOptions) { o.balancer = b }
}

// WithRetriable says that the client may retry any of its calls elsewhere, so
// that all may probe ejected nodes. The default is false: a call then probes
// only what the Ejector grants to calls that must not be risked.
func WithRetriable(retriable bool) SelectorOption {
	return func(o *SelectorOptions) { o.retriable = retriable }
}

// WithReporter sets a function that is told how each attempt ended, to feed
// an Ejector: what go-micro gives to the selector's Mark. It must be safe for
// concurrent use. Nil, the default, reports to nobody.
func WithReporter(report func(service string, node *registry.Node, err error)) SelectorOption {
	return func(o *SelectorOptions) { o.reporter = report }
}

// NewSelector wraps inner so that each Select is one Call: a drop-in for
// micro.Selector and client.Selector. Filters, and the strategies of inner and
// of single calls, keep their say. An inner that ignores the strategy it is
// given is asked again, a bounded number of times, while it offers nodes that
// were tried or are ejected; the cap does not apply there. Closing and
// initialising it closes and initialises inner. It returns an error if inner
// or an option is nil.
func NewSelector(inner selector.Selector, opts ...SelectorOption) (selector.Selector, error) {
	if inner == nil {
		return nil, errors.New("selectorx: NewSelector(nil): must be a selector, such as selector.NewSelector()")
	}
	s := &switching{Selector: inner}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("selectorx: nil SelectorOption: leave it out instead")
		}
		opt(&s.options)
	}
	return s, nil
}

// switching is inner with a Call around each Select.
type switching struct {
	selector.Selector
	options SelectorOptions
}

func (s *switching) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	call := s.options.balancer.NewCall(s.options.retriable)
	// A full copy: callers share the array behind opts between calls.
	all := make([]selector.SelectOption, 0, len(opts)+1)
	all = append(append(all, opts...), call.SelectOption())
	next, err := s.Selector.Select(service, all...)
	if err == nil && call.Services() == nil {
		return call.FilterNext(next), nil
	}
	return next, err
}

func (s *switching) Mark(service string, node *registry.Node, err error) {
	s.Selector.Mark(service, node, err)
	if s.options.reporter != nil {
		s.options.reporter(service, node, err)
	}
}
