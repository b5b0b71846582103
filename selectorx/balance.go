package selectorx

import (
	"math/rand/v2"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// balanced is the Next of the snapshot's own strategy: of two nodes at random, the one
// that is likely to answer sooner. The idea is that of Finagle's P2C with peak EWMA.
func (s *snapshot) balanced() (*registry.Node, error) {
	n := len(s.members)
	if n == 0 {
		return nil, selector.ErrNoneAvailable
	}
	a, b := twoOf(n)
	return s.better(s.members[a], s.members[b]).node, nil
}

// random is the Next of go-micro's Random, without its look at each node.
func (s *snapshot) random() (*registry.Node, error) {
	if len(s.members) == 0 {
		return nil, selector.ErrNoneAvailable
	}
	return s.members[rand.IntN(len(s.members))].node, nil
}

// twoOf returns two of n at random, which differ unless n is 1.
func twoOf(n int) (a, b int) {
	a = rand.IntN(n)
	if n == 1 {
		return a, a
	}
	b = rand.IntN(n - 1)
	if b >= a {
		b++
	}
	return a, b
}

func (s *snapshot) better(a, b member) member {
	if a.load == b.load || cheaper(a.load, b.load, time.Since(s.clock)) == a.load {
		return a
	}
	return b
}

// balance is the strategy of a Flat for services that filters have made of a snapshot,
// or of which some nodes are left out.
func (f *Flat) balance(services []*registry.Service) selector.Next {
	return func() (*registry.Node, error) {
		n := countNodes(services)
		if n == 0 {
			return nil, selector.ErrNoneAvailable
		}
		i, k := twoOf(n)
		a, b := nodeAt(services, i), nodeAt(services, k)
		switch usableA, usableB := isUsable(a), isUsable(b); {
		case usableA && usableB:
			return f.better(nameOf(services), a, b), nil
		case usableA:
			return a, nil
		case usableB:
			return b, nil
		default:
			return nil, selector.ErrNoneAvailable
		}
	}
}

// better is the better of two nodes of a service; the first, if one is not known.
func (f *Flat) better(service string, a, b *registry.Node) *registry.Node {
	s := f.known(service)
	if s == nil {
		return a
	}
	memberA, knowsA := s.find(a.Address)
	memberB, knowsB := s.find(b.Address)
	if knowsA && knowsB && s.better(memberA, memberB).load != memberA.load {
		return b
	}
	return a
}

// nodeAt returns the ith node of services.
func nodeAt(services []*registry.Service, i int) *registry.Node {
	for _, service := range services {
		nodes := nodesOf(service)
		if i < len(nodes) {
			return nodes[i]
		}
		i -= len(nodes)
	}
	return nil
}
