package wrapper

import (
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// The hedges of a client pay from budgets of their own unless WithHedgeBudget says
// otherwise: a tenth of the calls to each callee, and two a second. The window is
// short, so that what is saved in quiet times lasts for half a second of calls: time
// enough to eject a frozen instance, and too little to bury a service.
const (
	hedgeRatio        = 0.1
	hedgeMinPerSecond = 2
	hedgeWindow       = 5 * time.Second
)

// hedgeSettings say when an attempt is hedged. The zero value: never.
type hedgeSettings struct {
	option   string // that was given
	quantile float64
	min, max time.Duration // the same where the delay is fixed
	writes   bool
}

// set tells whether calls are to be hedged.
func (h *hedgeSettings) set() bool { return h.max > 0 }

// delay is how long an attempt goes without an answer before it is hedged.
func (h *hedgeSettings) delay(l *latency) time.Duration {
	if h.quantile == 0 {
		return h.max
	}
	usual, known := l.quantile(h.quantile)
	if !known {
		return h.max
	}
	return min(max(usual, h.min), h.max)
}

// WithHedge begins a second attempt beside the first, on another instance, when
// that has had no answer for so long: above 0, and less than the attempt timeout
// and the client's request timeout. The first answer counts, and the other attempt
// is cancelled where the transport can. The default is not to hedge.
//
// It pays where a few calls take much longer than the others, because of the
// instance that they met: take what 95 % of them need. Only calls are hedged that
// may run twice, safe and idempotent ones, and with [WithHedgedWrites] those whose
// key every instance honours; of any other the story says why it was not, see
// [retryfunc.ReasonHedgeUnsafe]. A call is hedged once, on an admitted instance that
// it has not tried; the hedge is one of its attempts, and has the time that is left.
// An attempt that fails while the other runs begins nothing.
//
// Hedges have a budget of their own, see [WithHedgeBudget], and stop by themselves
// while the callee times out, refuses or pushes back, or is slow everywhere, so that
// more than a twentieth of the calls is hedged in vain. The idea is that of The Tail
// at Scale (Dean and Barroso, 2013); the suspension is gRPC's, see gRFC A6.
func WithHedge(after time.Duration) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if after <= 0 {
			t.reject("WithHedge", after, "a positive duration: see WithoutHedge to have none")
		}
		s.hedge = hedgeSettings{"WithHedge", 0, after, after, s.hedge.writes}
	})
}

// WithAdaptiveHedge is [WithHedge] after the time within which the given quantile,
// between 0 and 1, of the endpoint's attempts were answered of late, such as 0.95;
// at least shortest, and at the most longest, which is also taken until 64 answers
// are known. A quantile that is among the slow answers themselves, such as 0.99
// where one call in fifty is slow, never hedges in time: hence the bound. shortest
// must not be negative, nor longest less than it or 0.
func WithAdaptiveHedge(quantile float64, shortest, longest time.Duration) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		given := fmt.Sprintf("%v, %v, %v", quantile, shortest, longest)
		if !(quantile > 0 && quantile < 1) { // NaN too
			t.reject("WithAdaptiveHedge", given, "a quantile between 0 and 1, such as 0.95")
		}
		if shortest < 0 || longest <= 0 || shortest > longest {
			t.reject("WithAdaptiveHedge", given, "a least delay from 0 to the longest, which is positive")
		}
		s.hedge = hedgeSettings{"WithAdaptiveHedge", quantile, shortest, longest, s.hedge.writes}
	})
}

// WithoutHedge lets a call, or a client, have no hedges: it is for one call of a
// client that has them.
func WithoutHedge() CallOption {
	return setting(func(_ *optionTarget, s *settings) { s.hedge = hedgeSettings{writes: s.hedge.writes} })
}

// WithHedgedWrites hedges, too, what may run twice only because it carries an
// idempotency key that every instance honours, see [WithTrustedKeys]: the hedge
// joins the execution that runs, or is answered from its record, so that a payment
// is hedged and made once. It gains where an instance is slow or frozen before it
// claims the key, and nothing where the handler itself is slow. On a store that a
// frozen process keeps locked, such as SQLite, it gains nothing either. Without
// WithHedge or WithAdaptiveHedge it does nothing.
func WithHedgedWrites() CallOption {
	return setting(func(_ *optionTarget, s *settings) { s.hedge.writes = true })
}

// WithHedgeBudget sets the budget that hedges pay from. The default earns a tenth
// of the calls and two a second, over 5 s. Each callee has one of its own, see
// [retryfunc.Budget.Of]; retries pay from another, see [WithBudget].
func WithHedgeBudget(b *retryfunc.Budget) ClientOption {
	return clientOption("WithHedgeBudget", func(t *optionTarget, o *ClientOptions) {
		if b == nil {
			t.reject("WithHedgeBudget", nil, "a budget made by retryfunc.NewBudget")
		}
		o.hedgeBudget = b
	})
}

// newHedgeBudget makes the default one.
func newHedgeBudget() (*retryfunc.Budget, error) {
	return retryfunc.NewBudget(retryfunc.WithRatio(hedgeRatio),
		retryfunc.WithMinPerSecond(hedgeMinPerSecond), retryfunc.WithWindow(hedgeWindow))
}

// checkHedge tells what is wrong with a hedge that would come too late for every
// call: attempts have at the most so long, as allowed says.
func (s *settings) checkHedge(within time.Duration, allowed string) error {
	if !s.hedge.set() || within <= 0 || s.hedge.min < within {
		return nil
	}
	return wrongOption(s.hedge.option, s.hedge.min, fmt.Sprintf("less than %s, %v", allowed, within))
}
