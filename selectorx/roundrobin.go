package selectorx

import (
	"math/rand/v2"
	"slices"
	"sync"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// NewRoundRobin returns a strategy that takes the nodes of a service in turn,
// over all calls: go-micro's RoundRobin begins each call at random, which is
// random with extra steps. It keeps one number per service name, begins at
// random so that clients started together do not march in step, and is safe
// for concurrent use. Nil nodes and nodes without an address are passed over.
func NewRoundRobin() selector.Strategy {
	r := &roundRobin{turns: make(map[string]int)}
	return r.strategy
}

type roundRobin struct {
	mu    sync.Mutex
	turns map[string]int
}

func (r *roundRobin) strategy(services []*registry.Service) selector.Next {
	return func() (*registry.Node, error) {
		n := countNodes(services)
		for range n { // an unusable node's turn is passed on
			if node := nodeAt(services, r.turn(nameOf(services), n)); isUsable(node) {
				return node, nil
			}
		}
		return nil, selector.ErrNoneAvailable
	}
}

// turn returns whose turn it is among n, and passes it on.
func (r *roundRobin) turn(name string, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	turn, ok := r.turns[name]
	if !ok {
		turn = rand.IntN(n)
	}
	turn %= n
	r.turns[name] = turn + 1
	return turn
}

// nameOf returns the name of the services, which are versions of one.
func nameOf(services []*registry.Service) string {
	i := slices.IndexFunc(services, func(s *registry.Service) bool { return s != nil })
	return services[i].Name
}
