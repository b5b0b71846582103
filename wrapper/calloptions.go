package wrapper

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// CallOption is an option that the wrapper takes for all calls, and one call for
// itself: give it to NewClientWrapper, or to Call as a client.CallOption. Clients
// that are not wrapped pass over it. The idea is that of go-grpc-middleware,
// whose retry options work in both places.
//
// A wrong value is an error of NewClientWrapper, or of the call, before anything
// is sent.
type CallOption = func(*client.CallOptions)

// setting is an option that a client and a call may have.
func setting(set func(t *optionTarget, s *settings)) CallOption {
	return func(o *client.CallOptions) {
		if t := targetOf(o); t != nil {
			set(t, t.settings)
		}
	}
}

// WithPolicy sets which failed attempts are followed by another. The default is
// retryfunc.Careful. It is asked under no lock, while the caller waits, about
// attempts that were made: about one that failed, and about one that has had its share of the
// call's time without an answer, as a Timeout. It must be safe for concurrent
// use. On one call, client.WithRetry wins over it.
func WithPolicy(policy client.RetryFunc) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if policy == nil {
			t.reject("WithPolicy", nil, "a retry function such as retryfunc.Careful")
		}
		s.policy = policy
	})
}

// WithAttempts sets how often a call is tried at the most, the first try
// included: 1 to 100, default DefaultAttempts. A refused dial is not counted
// while an instance is left that this call has not tried. On one call,
// client.WithRetries wins over it.
func WithAttempts(n int) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if n < 1 || n > maxAttempts {
			t.reject("WithAttempts", n, "1 to 100, the first try included")
		}
		s.attempts = n
	})
}

// WithoutRetry lets a call be tried once, and only where nothing was sent a
// second time elsewhere: it is WithAttempts(1).
func WithoutRetry() CallOption { return WithAttempts(1) }

// WithAttemptTimeout cuts an attempt off after so long, dial included, wherever
// the policy would retry a Timeout. The default, 0, cuts none: an attempt that
// has had its share of the call's time goes on while the next is made beside
// it, and the first answer counts. A call whose Timeout would not be retried
// always has the whole remaining time: cutting it short helps nobody. A caller
// whose own deadline is nearer has until then; more than the client's request
// timeout is an error of Check, and so of the plugin when its service starts.
func WithAttemptTimeout(d time.Duration) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if d < 0 {
			t.reject("WithAttemptTimeout", d, "0 for the default, or a positive duration")
		}
		s.attemptTimeout = d
	})
}

// WithBackoff sets how long a retry waits when every instance has been tried.
// The default is retryfunc.NewBackoff(): full jitter, 25 ms base, 1 s cap. A
// retry on an untried instance never waits.
func WithBackoff(b *retryfunc.Backoff) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if b == nil {
			t.reject("WithBackoff", nil, "a backoff made by retryfunc.NewBackoff")
		}
		s.backoff = b
	})
}

// WithStreamBuffer sets how many encoded bytes of what was sent on a stream are kept
// until its first message has arrived, so that it can be opened on another instance
// and sent there again: 0 to 64 MiB, default DefaultStreamBuffer. A stream that sends
// more is handed over to the instance that it has. With 0 only the opening of streams
// is retried. It concerns streams of endpoints that are known to be safe or idempotent.
func WithStreamBuffer(bytes int) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if bytes < 0 || bytes > maxStreamBuffer {
			t.reject("WithStreamBuffer", bytes, "0 to 67108864 bytes, 0 for streams of which only the opening is retried")
		}
		s.streamBuffer = bytes
	})
}

// WithSafety sets which endpoints are safe or idempotent. It is asked first;
// where it has no opinion (retryfunc.SafetyUnknown), the metadata that servers
// announce, the protobuf option idempotency_level and HTTP verbs are. What
// remains unknown is taken as not idempotent. For one call, see
// [retryfunc.Every].
func WithSafety(rule retryfunc.Rule) CallOption {
	return setting(func(t *optionTarget, s *settings) {
		if rule == nil {
			t.reject("WithSafety", nil, "a rule such as retryfunc.Endpoints(…)")
		}
		found := retryfunc.Inspect(rule)
		if found.Err != nil {
			t.errs = append(t.errs, fmt.Errorf("wrapper: WithSafety: %w", found.Err))
		}
		s.safety, s.quickSafety = rule, found.Table
	})
}

// WithCallKey gives the call an idempotency key, as idempotency.WithKey does for
// a context.
func WithCallKey(key string) client.CallOption {
	return callOption("WithCallKey", func(t *optionTarget, o *callOverrides) {
		if _, err := idempotency.ParseKey(key); err != nil {
			t.errs = append(t.errs, fmt.Errorf("wrapper: WithCallKey(%.64q): %w", key, err))
		}
		o.key = key
	})
}

// callOption is an option of one call only. To give it to NewClientWrapper takes
// a conversion of types.
func callOption(name string, set func(*optionTarget, *callOverrides)) client.CallOption {
	return func(o *client.CallOptions) {
		switch t := targetOf(o); {
		case t == nil:
		case t.call == nil:
			t.reject(name, "…", "given to one call: calls cannot share it")
		default:
			set(t, t.call)
		}
	}
}

// WithStory has the story of the call told in r, which is complete when the call
// has returned. See [WithReport].
func WithStory(r *Report) client.CallOption {
	return callOption("WithStory", func(t *optionTarget, o *callOverrides) {
		if r == nil {
			t.reject("WithStory", nil, "a pointer to a Report")
		}
		o.report = r
	})
}

// callOverrides are what the caller of one call asked for, in our words and in
// go-micro's. What the client was configured with in go-micro's is not among
// them: service.Init() overwrites it.
type callOverrides struct {
	settings
	client.CallOptions // as the bare client would have them

	retry  client.RetryFunc   // nil: not asked for
	pause  client.BackoffFunc // nil: not asked for
	key    string
	report *Report
}

// mostAsked bounds the retries that a call may ask for: as good as no bound.
const mostAsked = 1 << 20

// read reads the options of one call. They are applied to what the bare client
// would give them, since an option may decorate what is there, and once more to
// a probe that differs from it wherever an option may set something: what comes
// out the same of both was set.
func (o *callOverrides) read(c *retryClient, opts []client.CallOption) error {
	o.settings = c.settings
	o.CallOptions = c.Client.Options().CallOptions
	if len(opts) == 0 {
		return nil
	}
	t := &optionTarget{Context: o.Context, settings: &o.settings, call: o}
	if t.Context == nil {
		t.Context = context.Background()
	}
	bare := ownSlices(o.CallOptions)
	given, probe := bare, probeOf(bare)
	given.Context = t
	for _, opt := range opts {
		if opt == nil {
			return errors.New("wrapper: nil call option: leave it out instead")
		}
		opt(&given)
		opt(&probe)
	}
	given.Context = o.Context
	o.CallOptions = given
	o.takeSet(&bare, &given, &probe)
	return errors.Join(t.errs...)
}

// takeSet takes what the options have set in go-micro's own words.
func (o *callOverrides) takeSet(bare, given, probe *client.CallOptions) {
	if probe.Retry != nil && !isFunc(probe.Retry, unsetRetry) {
		o.retry = given.Retry
	}
	if probe.Backoff != nil && !isFunc(probe.Backoff, unsetBackoff) {
		o.pause = given.Backoff
	}
	set := given.ConnectionTimeout != bare.ConnectionTimeout || probe.ConnectionTimeout != bare.ConnectionTimeout+1
	if set && given.ConnectionTimeout > 0 {
		o.attemptTimeout = given.ConnectionTimeout
	}
	if given.Retries != bare.Retries || probe.Retries != bare.Retries+1 {
		o.attempts = min(max(0, given.Retries), mostAsked) + 1
	}
}

// ownSlices keeps options from appending to what calls share.
func ownSlices(o client.CallOptions) client.CallOptions {
	o.SelectOptions = slices.Clip(o.SelectOptions)
	o.Address = slices.Clip(o.Address)
	o.CallWrappers = slices.Clip(o.CallWrappers)
	return o
}

// probeOf returns options that are as good to decorate as the bare ones.
func probeOf(bare client.CallOptions) client.CallOptions {
	bare.Retry, bare.Backoff = unsetRetry, unsetBackoff
	bare.Retries++
	bare.ConnectionTimeout++
	return bare
}

func unsetRetry(context.Context, client.Request, int, error) (bool, error) { return false, nil }

func unsetBackoff(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }

// isFunc tells whether f is the function g, which is no closure.
func isFunc(f, g any) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() }
