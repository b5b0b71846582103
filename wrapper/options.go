package wrapper

import (
	"context"
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

// DefaultStreamBuffer is how much of what was sent on a stream is kept until its first
// message has arrived, in bytes, unless WithStreamBuffer says otherwise.
const DefaultStreamBuffer = 256 << 10

// maxStreamBuffer bounds WithStreamBuffer: every stream may need so much.
const maxStreamBuffer = 64 << 20

// ClientOptions is what the ClientOption functions set. The zero value of each
// field stands for the default that its option documents.
type ClientOptions struct {
	settings

	budget      *retryfunc.Budget
	hedgeBudget *retryfunc.Budget
	breaker     *breaker.Set
	balancer    *selectorx.Balancer
	trusted     bool
	generate    idempotency.Generator
	observers   observers
	log         *callLog
}

// settings are what may differ from call to call.
type settings struct {
	policy         client.RetryFunc // nil: retryfunc.Careful
	attempts       int
	attemptTimeout time.Duration
	streamBuffer   int
	backoff        *retryfunc.Backoff
	safety         retryfunc.Rule
	quickSafety    bool // the rule is one of ours, which never wait
	hedge          hedgeSettings
}

// ClientOption configures NewClientWrapper. What a single call may have, too, is a
// [CallOption].
type ClientOption func(*client.CallOptions)

// clientOption is an option of the whole client. To give it to one call takes a
// conversion of types.
func clientOption(name string, set func(*optionTarget, *ClientOptions)) ClientOption {
	return func(o *client.CallOptions) {
		switch t := targetOf(o); {
		case t == nil:
		case t.client == nil:
			t.reject(name, "…", "given to NewClientWrapper: one call cannot have its own")
		default:
			set(t, t.client)
		}
	}
}

// WithBudget sets the retry budget. The default is retryfunc.NewBudget(): 20 %
// of the calls plus 10 a second. Each callee has one of its own, see
// [retryfunc.Budget.Of], and wrappers that are given the same share them.
func WithBudget(b *retryfunc.Budget) ClientOption {
	return clientOption("WithBudget", func(t *optionTarget, o *ClientOptions) {
		if b == nil {
			t.reject("WithBudget", nil, "a budget made by retryfunc.NewBudget")
		}
		o.budget = b
	})
}

// WithBreaker sets the circuits, one per instance. The default is breaker.New
// with the Option of a hystrix.NewMirror, which shows the circuits in hystrix-go.
// It is the set the wrapper reports attempts to; if WithBalancer is not given,
// the wrapper also ejects by it. The caller owns it and closes it.
func WithBreaker(s *breaker.Set) ClientOption {
	return clientOption("WithBreaker", func(t *optionTarget, o *ClientOptions) {
		if s == nil {
			t.reject("WithBreaker", nil, "a set made by breaker.New")
		}
		o.breaker = s
	})
}

// WithBalancer sets how instances are chosen and ejected. The default ejects at
// most half of them by the breaker's word. A balancer given here should have
// been made with the same breaker as ejector.
func WithBalancer(b *selectorx.Balancer) ClientOption {
	return clientOption("WithBalancer", func(t *optionTarget, o *ClientOptions) {
		if b == nil {
			t.reject("WithBalancer", nil, "a balancer made by selectorx.NewBalancer")
		}
		o.balancer = b
	})
}

// WithTrustedKeys declares that every callee deduplicates by key in one shared
// store, so that keyed calls may be retried though the instances do not
// announce it. If that is not true, retries execute twice.
func WithTrustedKeys() ClientOption {
	return clientOption("WithTrustedKeys", func(_ *optionTarget, o *ClientOptions) { o.trusted = true })
}

// WithKeyGenerator sets how keys are minted. The default is a random UUID. It
// must be safe for concurrent use.
func WithKeyGenerator(g idempotency.Generator) ClientOption {
	return clientOption("WithKeyGenerator", func(t *optionTarget, o *ClientOptions) {
		if g == nil {
			t.reject("WithKeyGenerator", nil, "a function that returns a fresh key")
		}
		o.generate = g
	})
}

// optionTarget is where options put what they set. It travels as the context of
// go-micro's call options, so that clients which are not wrapped pass over ours.
type optionTarget struct {
	context.Context //nolint:containedctx // adds one value to another context

	settings *settings
	client   *ClientOptions // nil on one call
	call     *callOverrides // nil on the wrapper
	errs     []error
}

type optionTargetKey struct{}

// Value finds the target itself.
func (t *optionTarget) Value(key any) any {
	if key == (optionTargetKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// targetOf returns nil where the options are another client's.
func targetOf(o *client.CallOptions) *optionTarget {
	if o.Context == nil {
		return nil
	}
	t, _ := o.Context.Value(optionTargetKey{}).(*optionTarget)
	return t
}

// reject remembers that option got value, where only allowed is.
func (t *optionTarget) reject(option string, value any, allowed string) {
	t.errs = append(t.errs, wrongOption(option, value, allowed))
}

// wrongOption names the option, the value it was given and what is allowed.
func wrongOption(option string, value any, allowed string) error {
	return fmt.Errorf("wrapper: %s(%v): must be %s", option, value, allowed)
}

// newClientOptions applies opts, reports what is wrong with them, and fills in
// the defaults.
func newClientOptions(opts []ClientOption) (ClientOptions, error) {
	o := ClientOptions{settings: settings{attempts: DefaultAttempts, streamBuffer: DefaultStreamBuffer}}
	t := &optionTarget{Context: context.Background(), settings: &o.settings, client: &o}
	target := client.CallOptions{Context: t}
	for _, opt := range opts {
		if opt == nil {
			return o, errors.New("wrapper: nil option: leave it out instead")
		}
		opt(&target)
	}
	if err := errors.Join(t.errs...); err != nil {
		return o, err
	}
	if err := o.checkHedge(o.attemptTimeout, "the attempt timeout"); err != nil {
		return o, err
	}
	if err := o.fill(); err != nil {
		return o, err
	}
	o.watchCircuits()
	return o, nil
}

// fill replaces every zero value by its default.
func (o *ClientOptions) fill() (err error) {
	if o.budget == nil {
		if o.budget, err = retryfunc.NewBudget(); err != nil {
			return err
		}
	}
	if o.hedgeBudget == nil {
		if o.hedgeBudget, err = newHedgeBudget(); err != nil {
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
	if o.log == nil {
		o.log = new(callLog)
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
