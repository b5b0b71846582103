package wrapper

import (
	"cmp"
	"slices"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/selectorx"
)

// place picks the node itself where go-micro or another wrapper has passed our
// strategy over and would go to one that was tried, or is ejected.
func (a *attempt) place(node *registry.Node, addresses []string) *registry.Node {
	s := a.call
	if slices.Contains(addresses, node.Address) {
		return s.among(addresses, node)
	}
	if picked := s.view(a).picked; picked != "" && picked == node.Address || node.Id == "" { // or it is a proxy
		return node
	}
	s.consider()
	if s.nodes.Accepts(node.Address) {
		return node
	}
	return cmp.Or(s.reselect(), node)
}

// among chooses one of the addresses for a node that is otherwise like the given
// one, which it returns where none of them is an address.
func (s *call) among(addresses []string, like *registry.Node) *registry.Node {
	nodes := make([]*registry.Node, len(addresses))
	for i, address := range addresses {
		nodes[i] = &registry.Node{Id: like.Id, Address: address, Metadata: like.Metadata}
	}
	return cmp.Or(s.nodes.Substitute(nodes), like)
}

// consider finds out which nodes there are, where our strategy was passed over.
func (s *call) consider() {
	if s.nodes.Services() != nil || !s.considered.CompareAndSwap(false, true) {
		return
	}
	next, err := s.selectBy(func(choice *selectorx.Choice) (*registry.Node, error) {
		s.nodes.Consider(choice.Services())
		return nil, selector.ErrNoneAvailable
	})
	if err == nil {
		_, _ = next() // a selector that ignores strategies tells nothing, and its node is not gone to
	}
}

// reselect asks the client's selector itself; nil: it has nothing better.
func (s *call) reselect() *registry.Node {
	next, err := s.selectBy(func(choice *selectorx.Choice) (*registry.Node, error) {
		return s.nodes.PickFrom(choice, false)
	})
	if err != nil {
		return nil
	}
	node, err := s.nodes.FilterNext(next)()
	if err != nil {
		return nil
	}
	return node
}

// pickFunc is a function that picks.
type pickFunc func(*selectorx.Choice) (*registry.Node, error)

// PickNode calls the function.
func (pick pickFunc) PickNode(choice *selectorx.Choice) (*registry.Node, error) { return pick(choice) }

// selectBy selects by a strategy of ours, as the client would.
func (s *call) selectBy(pick pickFunc) (selector.Next, error) {
	opts := append(s.client.transport.selectOptions(), s.overrides.SelectOptions...)
	opts = append(opts, func(o *selector.SelectOptions) { selectorx.Choose(s.ctx, o, pick) })
	return s.client.Client.Options().Selector.Select(s.req.Service(), opts...)
}
