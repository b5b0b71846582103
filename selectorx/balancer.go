package selectorx

import (
	"errors"
	"fmt"
	"sync"
)

// Ejector tells which addresses are ejected. Its methods must be safe for
// concurrent use and quick, since they are asked for each node of each call.
type Ejector interface {
	// AnyOpen tells whether any circuit is open at all.
	AnyOpen() bool
	// Open tells whether the circuit of address is open, and whether refused
	// dials alone keep it so.
	Open(address string) (open, refused bool)
	// Probe claims the right to call address although its circuit is open.
	// retriable says whether the call could be made elsewhere if it fails.
	Probe(address string, retriable bool) bool
}

// Balancer makes Calls that share an Ejector. Make it with NewBalancer; it is
// safe for concurrent use. A nil *Balancer ejects nothing.
type Balancer struct {
	ejector    Ejector
	maxEjected float64
	probings   sync.Pool // of *probing
}

// Options collects what the With functions of NewBalancer set.
type Options struct {
	ejector    Ejector
	ejectorSet bool
	maxEjected float64
}

// Option sets one of the Options of NewBalancer.
type Option func(*Options)

// WithEjector sets who knows which nodes are down. Not nil; by default nothing
// is ejected and calls only switch nodes.
func WithEjector(e Ejector) Option {
	return func(o *Options) { o.ejector, o.ejectorSet = e, true }
}

// WithMaxEjected sets which share of a service's nodes may be ejected by
// anything but refused dials, rounded down to whole nodes. From 0, which
// ejects only nodes that refuse connections, to 1; the default is 0.5. It
// counts distinct addresses.
func WithMaxEjected(share float64) Option {
	return func(o *Options) { o.maxEjected = share }
}

// NewBalancer makes a Balancer. It returns an error that names the first
// option that is out of range, its value and what is allowed.
func NewBalancer(opts ...Option) (*Balancer, error) {
	o := Options{maxEjected: 0.5}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("selectorx: nil Option: leave it out instead")
		}
		opt(&o)
	}
	if o.ejectorSet && o.ejector == nil {
		return nil, errors.New("selectorx: WithEjector(nil): must be an Ejector")
	}
	if !(o.maxEjected >= 0 && o.maxEjected <= 1) {
		return nil, fmt.Errorf("selectorx: WithMaxEjected(%v): must be from 0 to 1", o.maxEjected)
	}
	return &Balancer{ejector: o.ejector, maxEjected: o.maxEjected}, nil
}

// NewCall returns the state of one new call. retriable says whether the call
// may be tried again elsewhere, which lets it probe ejected nodes.
func (b *Balancer) NewCall(retriable bool) *Call {
	c := new(Call)
	c.Init(b, retriable)
	return c
}

// anyOpen is what most calls need to know of the ejector.
func (b *Balancer) anyOpen() bool {
	return b != nil && b.ejector != nil && b.ejector.AnyOpen()
}
