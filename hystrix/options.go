package hystrix

import (
	"errors"
	"fmt"
)

// Options collects what the With functions set. NewMirror fills in the defaults
// and validates the whole, once.
type Options struct {
	poolSize   int
	namePrefix string
	dashboard  bool
}

// Option sets one of the Options of NewMirror.
type Option func(*Options)

// WithPoolSize bounds the hystrix circuits this Mirror ever creates, each of
// which costs two goroutines and about 25 KB until the process ends. At least
// 1; the default is 256.
func WithPoolSize(n int) Option {
	return func(o *Options) { o.poolSize = n }
}

// WithNamePrefix sets how this Mirror's hystrix circuits are called:
// prefix-suffix-number, with a random suffix per Mirror so that two of one
// process never share a circuit. Not empty; the default is "oncemore".
func WithNamePrefix(prefix string) Option {
	return func(o *Options) { o.namePrefix = prefix }
}

// WithDashboard reports every event of every address to hystrix, instead of
// only the openings and closings, so that its dashboard shows traffic. Every
// address in use then leases a circuit, and each report to the Set costs 1–3 µs
// more, where without it a success costs a few ns. The default is false.
//
// Withheld are successes while the circuit is open, because hystrix would close
// its own on them; the one that closes it is told.
func WithDashboard(on bool) Option {
	return func(o *Options) { o.dashboard = on }
}

// newOptions applies opts to the defaults and validates the whole.
func newOptions(opts []Option) (Options, error) {
	o := Options{poolSize: 256, namePrefix: "oncemore"}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("hystrix: nil Option: leave it out instead")
		}
		opt(&o)
	}
	switch {
	case o.poolSize < 1:
		return o, fmt.Errorf("hystrix: WithPoolSize(%d): must be at least 1", o.poolSize)
	case o.namePrefix == "":
		return o, errors.New(`hystrix: WithNamePrefix(""): must not be empty`)
	}
	return o, nil
}
