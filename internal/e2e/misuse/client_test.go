package misuse

import (
	"errors"
	"math"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/hystrix"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// wraps makes a client's wrapper.
func wraps(opts ...wrapper.ClientOption) func(*testing.T) error {
	return func(*testing.T) error {
		_, err := wrapper.NewClientWrapper(opts...)
		return err
	}
}

var ofClients = []wrong{
	{"wrapper.NewClientWrapper", "nil", "leave it out instead", func(*testing.T) error {
		_, err := wrapper.NewClientWrapper(nil)
		return named("NewClientWrapper", err)
	}},
	{"wrapper.WithBudget", "nil", "retryfunc.NewBudget", wraps(wrapper.WithBudget(nil))},
	{"wrapper.WithHedgeBudget", "nil", "retryfunc.NewBudget", wraps(wrapper.WithHedgeBudget(nil))},
	{"wrapper.WithBreaker", "nil", "breaker.New", wraps(wrapper.WithBreaker(nil))},
	{"wrapper.WithBalancer", "nil", "selectorx.NewBalancer", wraps(wrapper.WithBalancer(nil))},
	{"wrapper.WithKeyGenerator", "nil", "a function that returns a fresh key", wraps(wrapper.WithKeyGenerator(nil))},
	{"wrapper.WithObserver", "nil", "an observer such as an ObserverFunc", wraps(wrapper.WithObserver(nil))},
	{"wrapper.WithPolicy", "nil", "a retry function", wraps(wrapper.WithPolicy(nil))},
	{"wrapper.WithAttempts", "(0)", "1 to 100", wraps(wrapper.WithAttempts(0))},
	{"wrapper.WithAttempts", "(101)", "1 to 100", wraps(wrapper.WithAttempts(101))},
	{"wrapper.WithAttemptTimeout", "(-1s)", "a positive duration", wraps(wrapper.WithAttemptTimeout(-time.Second))},
	{"wrapper.WithAttemptTimeout", "(1h0m0s)", "at most a call's whole time", tooLong(wrapper.WithAttemptTimeout(time.Hour))},
	{"wrapper.WithBackoff", "nil", "retryfunc.NewBackoff", wraps(wrapper.WithBackoff(nil))},
	{"wrapper.WithStreamBuffer", "(-1)", "0 to 67108864 bytes", wraps(wrapper.WithStreamBuffer(-1))},
	{"wrapper.WithStreamBuffer", "(67108865)", "0 to 67108864 bytes", wraps(wrapper.WithStreamBuffer(64<<20 + 1))},
	{"wrapper.WithSafety", "nil", "a rule such as", wraps(wrapper.WithSafety(nil))},
	{"wrapper.WithHedge", "(0s)", "a positive duration", wraps(wrapper.WithHedge(0))},
	{"wrapper.WithHedge", "(2s)", "less than the attempt timeout, 1s", wraps(wrapper.WithHedge(2*time.Second), wrapper.WithAttemptTimeout(time.Second))},
	{"wrapper.WithHedge", "(1h0m0s)", "less than a call's whole time", tooLong(wrapper.WithHedge(time.Hour))},
	{"wrapper.WithAdaptiveHedge", "(95, ", "a quantile between 0 and 1", wraps(wrapper.WithAdaptiveHedge(95, time.Millisecond, time.Second))},
	{"wrapper.WithAdaptiveHedge", "(NaN, ", "a quantile between 0 and 1", wraps(wrapper.WithAdaptiveHedge(math.NaN(), time.Millisecond, time.Second))},
	{"wrapper.WithAdaptiveHedge", "2s, 1s)", "a least delay from 0 to the longest", wraps(wrapper.WithAdaptiveHedge(0.9, 2*time.Second, time.Second))},
}

// tooLong makes a client whose calls have as long as go-micro gives them, and checks it.
func tooLong(opts ...wrapper.ClientOption) func(*testing.T) error {
	return func(t *testing.T) error {
		wrap, err := wrapper.NewClientWrapper(opts...)
		must(t, err)
		return wrapper.Check(wrap(client.NewClient()))
	}
}

var ofCalls = []wrong{
	{"wrapper.WithCallKey", `("a b")`, "1 to 255 visible ASCII characters", calls(wrapper.WithCallKey("a b"))},
	{"wrapper.WithCallKey", `("")`, "1 to 255 visible ASCII characters", calls(wrapper.WithCallKey(""))},
	{"wrapper.WithStory", "nil", "a pointer to a Report", calls(wrapper.WithStory(nil))},
	{"wrapper.WithAttempts", "(-1)", "1 to 100", calls(wrapper.WithAttempts(-1))},
}

// calls makes a call with an option of its own, which is refused before anybody is
// looked for.
func calls(opt client.CallOption) func(*testing.T) error {
	return func(t *testing.T) error {
		wrap, err := wrapper.NewClientWrapper()
		must(t, err)
		c := wrap(client.NewClient(client.Registry(registry.NewMemoryRegistry())))
		err = c.Call(t.Context(), c.NewRequest("bank", "Bank.Tip", nil), nil, opt)
		if answer := merrors.FromError(err); answer != nil {
			return errors.New(answer.Detail)
		}
		return err
	}
}

var ofSelectors = []wrong{
	{"selectorx.NewSelector", "nil", "must be a selector", fails(selectorx.NewSelector(nil))},
	{"selectorx.NewSelector", "nil SelectorOption", "leave it out instead", func(*testing.T) error {
		_, err := selectorx.NewSelector(selector.NewSelector(), nil)
		return named("NewSelector", err)
	}},
	{"selectorx.NewBalancer", "nil Option", "leave it out instead", func(*testing.T) error {
		_, err := selectorx.NewBalancer(nil)
		return named("NewBalancer", err)
	}},
	{"selectorx.NewFlat", "nil FlatOption", "leave it out instead", func(*testing.T) error {
		_, err := selectorx.NewFlat(nil)
		return named("NewFlat", err)
	}},
	{"selectorx.WithEjector", "nil", "must be an Ejector", fails(selectorx.NewBalancer(selectorx.WithEjector(nil)))},
	{"selectorx.WithMaxEjected", "(1.5)", "from 0 to 1", fails(selectorx.NewBalancer(selectorx.WithMaxEjected(1.5)))},
	{"selectorx.WithMaxEjected", "(NaN)", "from 0 to 1", fails(selectorx.NewBalancer(selectorx.WithMaxEjected(math.NaN())))},
	{"selectorx.WithRegistry", "nil", "must be a registry", fails(selectorx.NewFlat(selectorx.WithRegistry(nil)))},
	{"selectorx.WithResync", "(0s)", "at least 1s", fails(selectorx.NewFlat(selectorx.WithResync(0)))},
	{"selectorx.WithKeep", "(-1s)", "at least 0s", fails(selectorx.NewFlat(selectorx.WithKeep(-time.Second)))},
	{"selectorx.WithKeep", "(2h0m0s)", "at most 1h", fails(selectorx.NewFlat(selectorx.WithKeep(2 * time.Hour)))},
	{"selectorx.WithFirstWait", "(0s)", "at least 1ns", fails(selectorx.NewFlat(selectorx.WithFirstWait(0)))},
	{"selectorx.WithIdle", "(1ms)", "at least 1s", fails(selectorx.NewFlat(selectorx.WithIdle(time.Millisecond)))},
	{"selectorx.WithStatusHook", "nil", "must be a function", fails(selectorx.NewFlat(selectorx.WithStatusHook(nil)))},
	{"wrapper.Observing", "()", "at least one observer", fails(wrapper.Observing())},
	{"wrapper.Observing", "nil", "observers such as an ObserverFunc", fails(wrapper.Observing(nil))},
}

var ofCircuits = []wrong{
	{"breaker.New", "nil", "leave it out instead", func(*testing.T) error {
		_, err := breaker.New(nil)
		return named("New", err)
	}},
	{"breaker.WithThreshold", "(0)", "at least 1", fails(breaker.New(breaker.WithThreshold(0)))},
	{"breaker.WithRefusedWeight", "(-3)", "at least 1", fails(breaker.New(breaker.WithRefusedWeight(-3)))},
	{"breaker.WithSleepWindow", "(0s)", "above 0 and at most 1h", fails(breaker.New(breaker.WithSleepWindow(0)))},
	{"breaker.WithSleepWindow", "(2h0m0s)", "above 0 and at most 1h", fails(breaker.New(breaker.WithSleepWindow(2 * time.Hour)))},
	{"breaker.WithClock", "nil", "such as time.Now", fails(breaker.New(breaker.WithClock(nil)))},
	{"breaker.WithHook", "nil", "must be a function", fails(breaker.New(breaker.WithHook(nil)))},
	{"breaker.WithEventHook", "nil", "must be a function", fails(breaker.New(breaker.WithEventHook(nil)))},
	{"hystrix.NewMirror", "nil", "leave it out instead", func(*testing.T) error {
		_, err := hystrix.NewMirror(nil)
		return named("NewMirror", err)
	}},
	{"hystrix.WithPoolSize", "(0)", "at least 1", fails(hystrix.NewMirror(hystrix.WithPoolSize(0)))},
	{"hystrix.WithNamePrefix", `("")`, "must not be empty", fails(hystrix.NewMirror(hystrix.WithNamePrefix("")))},
	{"concurrency.NewFixed", "(0)", "1 to 1000000", fails(concurrency.NewFixed(0))},
	{"concurrency.NewAdaptive", "nil", "leave it out instead", func(*testing.T) error {
		_, err := concurrency.NewAdaptive(nil)
		return named("NewAdaptive", err)
	}},
	{"concurrency.WithStart", "(7)", "1 to 5", fails(concurrency.NewAdaptive(concurrency.WithStart(7), concurrency.WithBounds(1, 5)))},
	{"concurrency.WithBounds", "(0, 5)", "1 to 1000000", fails(concurrency.NewAdaptive(concurrency.WithBounds(0, 5)))},
	{"concurrency.WithBounds", "(9, 5)", "the least first", fails(concurrency.NewAdaptive(concurrency.WithBounds(9, 5)))},
}

var ofPolicies = []wrong{
	{"retryfunc.OnCodes", "()", "at least one code", fails(retryfunc.OnCodes())},
	{"retryfunc.OnCodes", "(0)", "at least 1", fails(retryfunc.OnCodes(500, 0))},
	{"retryfunc.OnClass", "()", "at least one class", fails(retryfunc.OnClass())},
	{"retryfunc.OnClass", "(canceled)", "a class between NotSent and NoNode", fails(retryfunc.OnClass(retryfunc.Canceled))},
	{"retryfunc.Any", "()", "at least one policy", fails(retryfunc.Any())},
	{"retryfunc.Any", "policy 2 is nil", "a client.RetryFunc", fails(retryfunc.Any(retryfunc.Careful, nil))},
	{"retryfunc.All", "policy 1 is nil", "a client.RetryFunc", fails(retryfunc.All(nil))},
	{"retryfunc.Not", "nil", "a client.RetryFunc", fails(retryfunc.Not(nil))},
	{"retryfunc.Obey", "nil", "a client.RetryFunc", fails(retryfunc.Obey(nil))},
	{"retryfunc.Observe", "nil", "a client.RetryFunc", fails(retryfunc.Observe(nil, nil))},
	{"retryfunc.Observe", "nil", "must be a Hook", fails(retryfunc.Observe(retryfunc.Careful, nil))},
	{"retryfunc.WithinDeadline", "nil", "a client.RetryFunc", fails(retryfunc.WithinDeadline(nil, 0))},
	{"retryfunc.WithinDeadline", "(-1s)", "must not be negative", fails(retryfunc.WithinDeadline(retryfunc.Careful, -time.Second))},
	{"retryfunc.Idempotent", "nil", "must be a Rule", fails(retryfunc.Idempotent(nil))},
	{"retryfunc.Limit", "(0)", "at least 1", limits(0, retryfunc.Careful)},
	{"retryfunc.Limit", "nil", "a client.RetryFunc", limits(3, nil)},
	{"retryfunc.NewBudget", "nil", "must be a BudgetOption", fails(retryfunc.NewBudget(nil))},
	{"retryfunc.WithRatio", "(1.5)", "between 0 and 1", fails(retryfunc.NewBudget(retryfunc.WithRatio(1.5)))},
	{"retryfunc.WithRatio", "(NaN)", "between 0 and 1", fails(retryfunc.NewBudget(retryfunc.WithRatio(math.NaN())))},
	{"retryfunc.WithMinPerSecond", "(-1)", "between 0 and 1000000", fails(retryfunc.NewBudget(retryfunc.WithMinPerSecond(-1)))},
	{"retryfunc.WithWindow", "(1h0m0s)", "between 1s and 1m0s", fails(retryfunc.NewBudget(retryfunc.WithWindow(time.Hour)))},
	{"retryfunc.WithClock", "nil", "must be a func() time.Time", fails(retryfunc.NewBudget(retryfunc.WithClock(nil)))},
	{"retryfunc.NewBackoff", "nil", "must be a BackoffOption", fails(retryfunc.NewBackoff(nil))},
	{"retryfunc.WithBase", "(0s)", "more than 0", fails(retryfunc.NewBackoff(retryfunc.WithBase(0)))},
	{"retryfunc.WithBase", "(2s)", "at most the cap, which is 1s", fails(retryfunc.NewBackoff(retryfunc.WithBase(2 * time.Second)))},
	{"retryfunc.WithCap", "(1ms)", "at least the base, 25ms", fails(retryfunc.NewBackoff(retryfunc.WithCap(time.Millisecond)))},
}

// limits bounds a policy by a budget and a number of attempts.
func limits(attempts int, policy client.RetryFunc) func(*testing.T) error {
	return func(t *testing.T) error {
		budget, err := retryfunc.NewBudget()
		must(t, err)
		_, err = budget.Limit(attempts, policy)
		return err
	}
}

var ofRules = []wrong{
	{"retryfunc.Endpoints", "()", "at least one endpoint", fails(retryfunc.Endpoints(nil))},
	{"retryfunc.Endpoints", `""`, "must be an endpoint", fails(retryfunc.Endpoints(map[string]retryfunc.Safety{"": retryfunc.SafetySafe}))},
	{"retryfunc.Endpoints", "unknown", "unsafe, keyed, idempotent or safe", fails(retryfunc.Endpoints(map[string]retryfunc.Safety{"Bank.Tip": 0}))},
	{"retryfunc.Prefixes", "()", "at least one prefix", fails(retryfunc.Prefixes())},
	{"retryfunc.Prefixes", `("")`, "must not be empty", fails(retryfunc.Prefixes("Get", ""))},
	{"retryfunc.Prefixes", `("Users.Get")`, "how a method's name begins", fails(retryfunc.Prefixes("Users.Get"))},
	{"retryfunc.Every", "(unknown)", "unsafe, keyed, idempotent or safe", wraps(wrapper.WithSafety(retryfunc.Every(retryfunc.SafetyUnknown)))},
	{"retryfunc.Every", "(Safety(9))", "unsafe, keyed, idempotent or safe", fails(retryfunc.Idempotent(retryfunc.Every(9)))},
	{"retryfunc.First", "()", "at least one rule", wraps(wrapper.WithSafety(retryfunc.First(nil)))},
}
