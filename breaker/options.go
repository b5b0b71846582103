package breaker

import (
	"errors"
	"fmt"
	"time"
)

// Options collects what the With functions set. New fills in the defaults and
// validates the whole, once.
type Options struct {
	threshold     int
	refusedWeight int
	sleepWindow   time.Duration
	poolSize      int
	namePrefix    string
	dashboard     bool
	clock         func() time.Time
	hook          func(Transition)
}

// Option sets one of the Options of New.
type Option func(*Options)

// WithThreshold sets how much consecutive failure opens a circuit. Each
// failure weighs 1, a refused dial what WithRefusedWeight says. At least 1;
// the default is 5, which trips falsely about once in 100,000 calls where
// one call in ten fails at random (8: not once in 20 million).
func WithThreshold(weight int) Option {
	return func(o *Options) { o.threshold = weight }
}

// WithRefusedWeight sets how many failures a refused dial counts for. At
// least 1; the default is 3, so that two of them open a circuit.
func WithRefusedWeight(weight int) Option {
	return func(o *Options) { o.refusedWeight = weight }
}

// WithSleepWindow sets how long an open circuit waits before its first probe,
// and between two. Above 0 and at most an hour; the default is one second.
// hystrix is told whole milliseconds, rounded up.
func WithSleepWindow(d time.Duration) Option {
	return func(o *Options) { o.sleepWindow = d }
}

// WithPoolSize bounds the hystrix circuits this Set ever creates, each of
// which costs two goroutines and about 25 KB until the process ends. At least
// 0, which keeps hystrix out of it; the default is 256.
func WithPoolSize(n int) Option {
	return func(o *Options) { o.poolSize = n }
}

// WithNamePrefix sets how this Set's hystrix circuits are called:
// prefix-suffix-number, with a random suffix per Set so that two Sets of one
// process never share a circuit. Not empty; the default is "oncemore".
func WithNamePrefix(prefix string) Option {
	return func(o *Options) { o.namePrefix = prefix }
}

// WithDashboard reports every event of every address to hystrix, instead of
// only the openings and closings, so that its dashboard shows traffic. Every
// address in use then leases a circuit, and a report costs 1–3 µs instead of
// a few ns. The default is false.
//
// One kind of event is still withheld: a success that began before its
// circuit opened, because hystrix would close the circuit on it.
func WithDashboard(on bool) Option {
	return func(o *Options) { o.dashboard = on }
}

// WithClock sets the time source, which must be safe for concurrent use. Not
// nil; the default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(o *Options) { o.clock = now }
}

// WithHook sets a function that sees every Transition. It is called from the
// goroutine that caused the change, outside any lock, so it may use the Set;
// it must be quick and safe for concurrent use. Two changes of one address
// that follow each other closely may be seen in either order; At orders them.
// Nil, the default, is no hook.
func WithHook(hook func(Transition)) Option {
	return func(o *Options) { o.hook = hook }
}

func defaults() Options {
	return Options{
		threshold:     5,
		refusedWeight: 3,
		sleepWindow:   time.Second,
		poolSize:      256,
		namePrefix:    "oncemore",
		clock:         time.Now,
	}
}

func (o *Options) validate() error {
	switch {
	case o.threshold < 1:
		return fmt.Errorf("breaker: WithThreshold(%d): must be at least 1", o.threshold)
	case o.refusedWeight < 1:
		return fmt.Errorf("breaker: WithRefusedWeight(%d): must be at least 1", o.refusedWeight)
	case o.sleepWindow <= 0 || o.sleepWindow > time.Hour:
		return fmt.Errorf("breaker: WithSleepWindow(%v): must be above 0 and at most 1h", o.sleepWindow)
	case o.poolSize < 0:
		return fmt.Errorf("breaker: WithPoolSize(%d): must be at least 0", o.poolSize)
	case o.namePrefix == "":
		return errors.New(`breaker: WithNamePrefix(""): must not be empty`)
	case o.clock == nil:
		return errors.New("breaker: WithClock(nil): must be a time source, such as time.Now")
	case o.dashboard && o.poolSize == 0:
		return errors.New("breaker: WithDashboard(true): needs WithPoolSize of at least 1")
	}
	return nil
}
