package breaker

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options collects what the With functions set. New fills in the defaults and
// validates the whole, once.
type Options struct {
	threshold     int
	refusedWeight int
	sleepWindow   time.Duration
	clock         func() time.Time
	hooks         []func(Transition)
	eventHooks    []eventHook
}

type eventHook = func(address string, ev Event, start time.Time, took time.Duration)

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
func WithSleepWindow(d time.Duration) Option {
	return func(o *Options) { o.sleepWindow = d }
}

// WithClock sets the time source, which must be safe for concurrent use. Not
// nil; the default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(o *Options) { o.clock = now }
}

// WithHook adds a function that sees every Transition, the earliest first and
// one at a time. Several add up, and are called in the order in which they were
// given. A hook is called by a goroutine that uses the Set, though perhaps not
// by the one that caused the change, and under no lock, so it may use the Set
// itself; changes that it causes are seen after it has returned. It must be
// quick: later transitions wait for it. Not nil; the default is none.
func WithHook(hook func(Transition)) Option {
	return func(o *Options) { o.hooks = append(o.hooks, hook) }
}

// WithEventHook adds a function that sees every event as it was given to Report,
// Ignored included and before it is counted, which costs every call what the
// function costs. Several add up, and are called in the order in which they were
// given, in the goroutine that reports and under no lock. It must be quick and
// safe for concurrent use. Not nil; the default is none.
func WithEventHook(hook func(address string, ev Event, start time.Time, took time.Duration)) Option {
	return func(o *Options) { o.eventHooks = append(o.eventHooks, hook) }
}

func defaults() Options {
	return Options{
		threshold:     5,
		refusedWeight: 3,
		sleepWindow:   time.Second,
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
	case o.clock == nil:
		return errors.New("breaker: WithClock(nil): must be a time source, such as time.Now")
	case slices.ContainsFunc(o.hooks, func(h func(Transition)) bool { return h == nil }):
		return errors.New("breaker: WithHook(nil): must be a function")
	case slices.ContainsFunc(o.eventHooks, func(h eventHook) bool { return h == nil }):
		return errors.New("breaker: WithEventHook(nil): must be a function")
	}
	return nil
}
