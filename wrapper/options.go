package wrapper

import (
	"errors"
	"fmt"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
)

// DefaultAttempts is how often a call is tried, the first try included, unless
// WithAttempts says otherwise.
const DefaultAttempts = 3

// maxAttempts bounds WithAttempts: more is a storm, not a retry.
const maxAttempts = 100

// ClientOptions is what the ClientOption functions set. The zero value of each
// field stands for the default that its option documents.
type ClientOptions struct {
	policy         client.RetryFunc
	attempts       int
	attemptTimeout time.Duration
	budget         *retryfunc.Budget
	backoff        *retryfunc.Backoff
	breaker        *breaker.Set
	balancer       *selectorx.Balancer
	safety         retryfunc.Rule
	vouched        bool
	generate       idempotency.Generator
	hook           retryfunc.Hook

	// errs collects what the options found wrong, for the constructor to report.
	errs []error
}

// ClientOption configures NewClientWrapper.
type ClientOption func(*ClientOptions)

// WithPolicy sets which failed attempts are retried. The default is
// retryfunc.Careful. The policy must be safe for concurrent use. Before the
// first attempt it is asked, with an retryfunc.Attempt whose Number is 0,
// whether it would retry a Timeout: only then is the time of one attempt
// limited.
func WithPolicy(policy client.RetryFunc) ClientOption {
	return func(o *ClientOptions) {
		if policy == nil {
			o.reject("WithPolicy", nil, "a retry function such as retryfunc.Careful")
		}
		o.policy = policy
	}
}

// WithAttempts sets how often a call is tried at the most, the first try
// included: 1 to 100, default DefaultAttempts. A refused dial is not counted
// while an instance is left that this call has not tried.
func WithAttempts(n int) ClientOption {
	return func(o *ClientOptions) {
		if n < 1 || n > maxAttempts {
			o.reject("WithAttempts", n, "1 to 100, the first try included")
		}
		o.attempts = n
	}
}

// WithAttemptTimeout limits the time of one attempt, dial included, wherever
// the policy would retry a Timeout. The default, 0, divides what is left of the
// call's time by the attempts left. A call whose Timeout would not be retried
// always has the whole remaining time: cutting it short helps nobody. A caller
// whose own deadline is nearer has until then; more than the client's request
// timeout is an error of Check, and so of the plugin when its service starts.
func WithAttemptTimeout(d time.Duration) ClientOption {
	return func(o *ClientOptions) {
		if d < 0 {
			o.reject("WithAttemptTimeout", d, "0 for the default, or a positive duration")
		}
		o.attemptTimeout = d
	}
}

// WithBudget sets the retry budget. The default is retryfunc.NewBudget(): 20 %
// of the calls plus 10 a second. A budget may be shared between wrappers.
func WithBudget(b *retryfunc.Budget) ClientOption {
	return func(o *ClientOptions) {
		if b == nil {
			o.reject("WithBudget", nil, "a budget made by retryfunc.NewBudget")
		}
		o.budget = b
	}
}

// WithBackoff sets how long a retry waits when every instance has been tried.
// The default is retryfunc.NewBackoff(): full jitter, 25 ms base, 1 s cap. A
// retry on an untried instance never waits.
func WithBackoff(b *retryfunc.Backoff) ClientOption {
	return func(o *ClientOptions) {
		if b == nil {
			o.reject("WithBackoff", nil, "a backoff made by retryfunc.NewBackoff")
		}
		o.backoff = b
	}
}

// WithBreaker sets the circuits, one per instance. The default is breaker.New
// with the Option of a hystrix.NewMirror, which shows the circuits in hystrix-go.
// It is the set the wrapper reports attempts to; if WithBalancer is not given,
// the wrapper also ejects by it. The caller owns it and closes it.
func WithBreaker(s *breaker.Set) ClientOption {
	return func(o *ClientOptions) {
		if s == nil {
			o.reject("WithBreaker", nil, "a set made by breaker.New")
		}
		o.breaker = s
	}
}

// WithBalancer sets how instances are chosen and ejected. The default ejects at
// most half of them by the breaker's word. A balancer given here should have
// been made with the same breaker as ejector.
func WithBalancer(b *selectorx.Balancer) ClientOption {
	return func(o *ClientOptions) {
		if b == nil {
			o.reject("WithBalancer", nil, "a balancer made by selectorx.NewBalancer")
		}
		o.balancer = b
	}
}

// WithSafety sets which endpoints are safe or idempotent. It is asked first;
// where it has no opinion (retryfunc.SafetyUnknown), the metadata that servers
// announce, the protobuf option idempotency_level and HTTP verbs are. What
// remains unknown is taken as not idempotent.
func WithSafety(rule retryfunc.Rule) ClientOption {
	return func(o *ClientOptions) {
		if rule == nil {
			o.reject("WithSafety", nil, "a rule such as retryfunc.Endpoints(…)")
		}
		o.safety = rule
	}
}

// WithVouchedKeys declares that every callee deduplicates by key in one shared
// store, so that keyed calls may be retried though the instances do not
// announce it. If that is not true, retries execute twice.
func WithVouchedKeys() ClientOption {
	return func(o *ClientOptions) { o.vouched = true }
}

// WithKeyGenerator sets how keys are minted. The default is a random UUID. It
// must be safe for concurrent use.
func WithKeyGenerator(g idempotency.Generator) ClientOption {
	return func(o *ClientOptions) {
		if g == nil {
			o.reject("WithKeyGenerator", nil, "a function that returns a fresh key")
		}
		o.generate = g
	}
}

// WithHook calls hook with every decision about a failed attempt: why it is
// retried or why it is not. The hook runs on the call's path: it should return
// quickly, and must be safe for concurrent use. The default is no hook.
func WithHook(hook retryfunc.Hook) ClientOption {
	return func(o *ClientOptions) {
		if hook == nil {
			o.reject("WithHook", nil, "a function")
		}
		o.hook = hook
	}
}

// reject remembers that option got value, where only allowed is.
func (o *ClientOptions) reject(option string, value any, allowed string) {
	o.errs = append(o.errs, wrongOption(option, value, allowed))
}

// wrongOption names the option, the value it was given and what is allowed.
func wrongOption(option string, value any, allowed string) error {
	return fmt.Errorf("wrapper: %s(%v): must be %s", option, value, allowed)
}

// newClientOptions applies opts, reports what is wrong with them, and fills in
// the defaults.
func newClientOptions(opts []ClientOption) (ClientOptions, error) {
	o := ClientOptions{attempts: DefaultAttempts}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("wrapper: nil option: leave it out instead")
		}
		opt(&o)
	}
	if err := errors.Join(o.errs...); err != nil {
		return o, err
	}
	return o, o.fill()
}

// fill replaces every zero value by its default.
func (o *ClientOptions) fill() (err error) {
	if o.budget == nil {
		if o.budget, err = retryfunc.NewBudget(); err != nil {
			return err
		}
	}
	if o.backoff == nil {
		if o.backoff, err = retryfunc.NewBackoff(); err != nil {
			return err
		}
	}
	if o.breaker == nil {
		if o.breaker, err = mirroredBreaker(); err != nil {
			return err
		}
	}
	if o.balancer == nil {
		if o.balancer, err = selectorx.NewBalancer(selectorx.WithEjector(o.breaker)); err != nil {
			return err
		}
	}
	return nil
}

// mirroredBreaker makes the default circuits, which hystrix-go shows.
func mirroredBreaker() (*breaker.Set, error) {
	mirror, err := hystrix.NewMirror()
	if err != nil {
		return nil, err
	}
	return breaker.New(mirror.Option())
}
