package concurrency

import (
	"errors"
	"fmt"
)

// The defaults of [NewAdaptive].
const (
	DefaultStart = 20
	DefaultLeast = 1
	DefaultMost  = 1000
)

// highest bounds every limit: above it, a limit limits nothing.
const highest = 1_000_000

// Options is what the Option functions set.
type Options struct{ start, least, most int }

// Option configures [NewAdaptive].
type Option func(*Options)

// WithStart sets the limit to begin with, between the bounds; default DefaultStart,
// or the bound that is nearest to it.
func WithStart(n int) Option { return func(o *Options) { o.start = n } }

// WithBounds sets the least and the most that the limit may become, 1 to 1000000;
// default DefaultLeast and DefaultMost.
func WithBounds(least, most int) Option {
	return func(o *Options) { o.least, o.most = least, most }
}

// NewFixed returns a limiter of n requests at once, 1 to 1000000. Another n is an error.
func NewFixed(n int) (*Limiter, error) {
	if !allowed(n) {
		return nil, fmt.Errorf("concurrency: NewFixed(%d): must be 1 to %d", n, highest)
	}
	return newLimiter(Options{n, n, n}), nil
}

// NewAdaptive returns a limiter that finds its limit by itself. The error names the
// option that is wrong, its value and what is allowed.
func NewAdaptive(options ...Option) (*Limiter, error) {
	const unset = -1 << 31
	o := Options{start: unset, least: DefaultLeast, most: DefaultMost}
	for _, option := range options {
		if option == nil {
			return nil, errors.New("concurrency: nil option: leave it out instead")
		}
		option(&o)
	}
	if !allowed(o.least) || !allowed(o.most) || o.least > o.most {
		return nil, fmt.Errorf("concurrency: WithBounds(%d, %d): must be 1 to %d, the least first", o.least, o.most, highest)
	}
	if o.start == unset {
		o.start = min(max(DefaultStart, o.least), o.most)
	}
	if o.start < o.least || o.start > o.most {
		return nil, fmt.Errorf("concurrency: WithStart(%d): must be %d to %d, as the bounds are", o.start, o.least, o.most)
	}
	return newLimiter(o), nil
}

func allowed(n int) bool { return n >= 1 && n <= highest }

func newLimiter(o Options) *Limiter {
	return &Limiter{limit: float64(o.start), least: float64(o.least), most: float64(o.most)}
}
