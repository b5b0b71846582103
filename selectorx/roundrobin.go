package selectorx

import (
	"math/rand/v2"
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
	r := &roundRobin{turns: make(map[string]uint64)}
	return r.strategy
}

type roundRobin struct {
	mu    sync.Mutex
	turns map[string]uint64
}

func (r *roundRobin) strategy(services []*registry.Service) selector.Next {
	return func() (*registry.Node, error) {
		n := countUsable(services)
		if n == 0 {
			return nil, selector.ErrNoneAvailable
		}
		return nthUsable(services, int(r.turn(nameOf(services))%uint64(n))), nil
	}
}

func (r *roundRobin) turn(name string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	turn, ok := r.turns[name]
	if !ok {
		turn = uint64(rand.Uint32())
	}
	r.turns[name] = turn + 1
	return turn
}

func nameOf(services []*registry.Service) string {
	for _, service := range services {
		if service != nil {
			return service.Name
		}
	}
	return ""
}

func countUsable(services []*registry.Service) (n int) {
	for _, service := range services {
		for _, node := range nodesOf(service) {
			if judge(node, nil, "") == 0 {
				n++
			}
		}
	}
	return n
}

func nthUsable(services []*registry.Service, nth int) *registry.Node {
	for _, service := range services {
		for _, node := range nodesOf(service) {
			if judge(node, nil, "") != 0 {
				continue
			}
			if nth == 0 {
				return node
			}
			nth--
		}
	}
	return nil
}
