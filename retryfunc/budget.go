package retryfunc

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	defaultRatio        = 0.2
	defaultMinPerSecond = 10
	defaultWindow       = 10 * time.Second

	budgetSlices = 10
	retryCost    = 1_000_000 // credit that one retry costs, so that small ratios do not vanish
)

// Budget bounds retries to a share of the calls, so that a service in trouble
// is not buried under them: every call deposits some credit, every retry
// withdraws one retry's worth, and a floor per second lets callers with little
// traffic retry at all. Credit not used within the window expires. Algorithm
// and defaults are those of Finagle's RetryBudget (20 % of the calls plus 10
// retries a second, over 10 s).
//
// Make one per client with [NewBudget], and take that of each callee with
// [Budget.Of]: where one callee fails, the retries of the others must not pay
// for it. It is safe for concurrent use.
type Budget struct {
	options budgetOptions
	deposit int64 // credit per call
	reserve int64 // credit the window starts with
	slice   time.Duration
	clock   func() time.Time
	start   time.Time

	mu      sync.Mutex
	credit  [budgetSlices]int64
	balance int64 // sum of credit
	current int64 // number of the slice that now falls into

	callees map[string]*Budget
}

type budgetOptions struct {
	ratio        float64
	minPerSecond int
	window       time.Duration
	clock        func() time.Time
}

// BudgetOption configures a [Budget].
type BudgetOption func(*budgetOptions)

// WithRatio sets how many retries one call earns, from 0 to 1; default 0.2.
func WithRatio(ratio float64) BudgetOption {
	return func(o *budgetOptions) { o.ratio = ratio }
}

// WithMinPerSecond sets the retries per second that are granted whatever the
// traffic, averaged over the window; default 10. It must not be negative.
func WithMinPerSecond(n int) BudgetOption {
	return func(o *budgetOptions) { o.minPerSecond = n }
}

// WithWindow sets how long credit lives, from 1 s to 60 s; default 10 s.
func WithWindow(d time.Duration) BudgetOption {
	return func(o *budgetOptions) { o.window = d }
}

// WithClock sets the clock; default time.Now. It must not be nil.
func WithClock(clock func() time.Time) BudgetOption {
	return func(o *budgetOptions) { o.clock = clock }
}

// NewBudget returns a Budget, or an error that names the option that cannot be.
func NewBudget(opts ...BudgetOption) (*Budget, error) {
	o := budgetOptions{defaultRatio, defaultMinPerSecond, defaultWindow, time.Now}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("retryfunc: NewBudget: option %d is nil: must be a BudgetOption", i+1)
		}
		opt(&o)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	return o.budget(), nil
}

func (o *budgetOptions) budget() *Budget {
	return &Budget{
		options: *o,
		deposit: int64(math.Round(o.ratio * retryCost)),
		reserve: int64(float64(o.minPerSecond) * o.window.Seconds() * retryCost),
		slice:   o.window / budgetSlices,
		clock:   o.clock,
		start:   o.clock(),
	}
}

// maxCallees bounds the budgets that one budget keeps, should names be made up
// at run time.
const maxCallees = 4096

// Of returns the budget of one callee, with b's ratio, floor and window and a
// balance of its own: the same for the same name. Beyond some 4,000 names all
// others share b itself.
func (b *Budget) Of(callee string) *Budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, ok := b.callees[callee]
	switch {
	case ok:
		return own
	case len(b.callees) >= maxCallees:
		return b
	case b.callees == nil:
		b.callees = make(map[string]*Budget)
	}
	own = b.options.budget()
	b.callees[callee] = own
	return own
}

func (o *budgetOptions) validate() error {
	switch {
	case !(o.ratio >= 0 && o.ratio <= 1): // NaN too
		return fmt.Errorf("retryfunc: WithRatio(%v): must be between 0 and 1", o.ratio)
	case o.minPerSecond < 0 || o.minPerSecond > 1_000_000:
		return fmt.Errorf("retryfunc: WithMinPerSecond(%d): must be between 0 and 1000000", o.minPerSecond)
	case o.window < time.Second || o.window > time.Minute:
		return fmt.Errorf("retryfunc: WithWindow(%v): must be between 1s and 1m0s", o.window)
	case o.clock == nil:
		return errors.New("retryfunc: WithClock(nil): must be a func() time.Time")
	}
	return nil
}

// Deposit credits one call. Call it once per logical call, not per attempt.
func (b *Budget) Deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance()
	b.add(b.deposit)
}

// Withdraw pays for one retry and reports whether there was credit for it.
func (b *Budget) Withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance()
	if b.balance+b.reserve < retryCost {
		return false
	}
	b.add(-retryCost)
	return true
}

// Balance returns how many retries there is credit for.
func (b *Budget) Balance() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance()
	return int(max(0, b.balance+b.reserve) / retryCost)
}

func (b *Budget) add(credit int64) {
	b.credit[b.current%budgetSlices] += credit
	b.balance += credit
}

// advance forgets the slices that have left the window. A clock that goes back
// changes nothing.
func (b *Budget) advance() {
	now := int64(b.clock().Sub(b.start) / b.slice)
	for range min(now-b.current, budgetSlices) {
		b.current++
		b.balance -= b.credit[b.current%budgetSlices]
		b.credit[b.current%budgetSlices] = 0
	}
	b.current = max(b.current, now)
}
