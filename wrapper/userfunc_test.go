package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/logtest"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// userFunctions are all that a caller may hand to the wrapper to be called back,
// each made to run do. A call that is refused once and then answered calls every
// one of them.
var userFunctions = []struct {
	name    string
	install func(t *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption)
}{
	{"policy", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return []wrapper.ClientOption{wrapper.WithPolicy(policyThat(do))}, nil
	}},
	{"policy of the call", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{wrapper.WithPolicy(policyThat(do))}
	}},
	{"client.WithRetry", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{client.WithRetry(policyThat(do))}
	}},
	{"client.WithBackoff", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{client.WithBackoff(func(_ context.Context, _ client.Request, n int) (time.Duration, error) {
			if n > 0 {
				do()
			}
			return 0, nil
		})}
	}},
	{"client.WithBackoff before the first attempt", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{client.WithBackoff(func(_ context.Context, _ client.Request, n int) (time.Duration, error) {
			if n == 0 {
				do()
			}
			return 0, nil
		})}
	}},
	{"rule", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return []wrapper.ClientOption{wrapper.WithSafety(ruleThat(do))}, nil
	}},
	{"rule of the call", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{wrapper.WithSafety(ruleThat(do))}
	}},
	{"rule within First", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return nil, []client.CallOption{wrapper.WithSafety(retryfunc.First(ruleThat(do), retryfunc.Every(retryfunc.SafetyUnsafe)))}
	}},
	{"key generator", func(_ *testing.T, do func()) ([]wrapper.ClientOption, []client.CallOption) {
		return []wrapper.ClientOption{wrapper.WithKeyGenerator(func() (string, error) {
			do()
			return "a-key", nil
		})}, nil
	}},
}

// breakerFunctions are those of a breaker that the wrapper reports to.
var breakerFunctions = []struct {
	name   string
	option func(do func()) breaker.Option
}{
	{"hook", func(do func()) breaker.Option { return breaker.WithHook(func(breaker.Transition) { do() }) }},
	{"event hook", func(do func()) breaker.Option {
		return breaker.WithEventHook(func(string, breaker.Event, time.Time, time.Duration) { do() })
	}},
}

func policyThat(do func()) client.RetryFunc {
	return func(context.Context, client.Request, int, error) (bool, error) {
		do()
		return true, nil
	}
}

func ruleThat(do func()) retryfunc.Rule {
	return func(context.Context, client.Request) retryfunc.Safety {
		do()
		return retryfunc.SafetyUnknown
	}
}

// once returns a function that does something the first time it is called.
func once(do func()) func() {
	var done atomic.Bool
	return func() {
		if done.CompareAndSwap(false, true) {
			do()
		}
	}
}

// TestFunctionsMayCallBack has each of the user's functions make a call through
// the client that called it, and look at all that is public: nothing is locked.
func TestFunctionsMayCallBack(t *testing.T) {
	for _, tt := range userFunctions {
		t.Run(tt.name, func(t *testing.T) {
			var (
				c      client.Client
				called atomic.Bool
			)
			set := newSet(t)
			opts, callOpts := tt.install(t, once(func() {
				called.Store(true)
				if _, _, err := call(context.WithoutCancel(t.Context()), c, read); err != nil {
					t.Errorf("the call within: %v", err)
				}
				_, _ = c.Options(), wrapper.Check(c)
				set.Ejected()
			}))
			wire := &recorder{answers: []error{errRefused, nil}}
			c = newWire(t, nodes("a", "b"), wire.wire, append(opts, wrapper.WithBreaker(set))...)
			if _, _, err := call(t.Context(), c, write, callOpts...); err != nil {
				t.Errorf("error %v", err)
			}
			if !called.Load() {
				t.Error("the function was not called")
			}
		})
	}
	for _, tt := range breakerFunctions {
		t.Run("breaker's "+tt.name, func(t *testing.T) {
			var (
				c      client.Client
				set    *breaker.Set
				called atomic.Bool
			)
			set, err := breaker.New(breaker.WithThreshold(1), tt.option(once(func() {
				called.Store(true)
				if _, _, err := call(context.WithoutCancel(t.Context()), c, read); err != nil {
					t.Errorf("the call within: %v", err)
				}
				set.Ejected()
			})))
			if err != nil {
				t.Fatal(err)
			}
			wire := &recorder{answers: []error{errRefused, nil}}
			c = newWire(t, nodes("a", "b"), wire.wire, wrapper.WithBreaker(set))
			if _, _, err := call(t.Context(), c, write); err != nil {
				t.Errorf("error %v", err)
			}
			if !called.Load() {
				t.Error("the hook was not called")
			}
		})
	}
}

// ends collects how calls ended. It is safe for concurrent use.
type ends struct {
	mu  sync.Mutex
	all []wrapper.CallEnded
}

func (e *ends) option() wrapper.ClientOption {
	return onCallEnd(func(_ context.Context, end wrapper.CallEnded) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, end)
	})
}

func (e *ends) list() []wrapper.CallEnded {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// TestPanicReachesTheCaller: the caller's own recover gets what one of its
// functions panicked with, the call still has one end, and the next call works.
func TestPanicReachesTheCaller(t *testing.T) {
	boom := errors.New("boom")
	check := func(t *testing.T, opts []wrapper.ClientOption, callOpts []client.CallOption, want error) {
		t.Helper()
		var seen ends
		wire := &recorder{answers: []error{errRefused, nil}}
		c := newWire(t, nodes("a", "b"), wire.wire, append([]wrapper.ClientOption{seen.option()}, opts...)...)
		func() {
			defer func() {
				if got := recover(); got != boom {
					t.Errorf("recovered %v, want %v", got, boom)
				}
			}()
			_, _, _ = call(t.Context(), c, write, callOpts...)
		}()
		all := seen.list()
		if len(all) != 1 {
			t.Fatalf("the call has %d ends, want 1: %v", len(all), all)
		}
		if !errors.Is(all[0].Err, want) {
			t.Errorf("the end's error: got %v, want %v", all[0].Err, want)
		}
		if _, _, err := call(t.Context(), c, write); err != nil {
			t.Errorf("the next call: %v", err)
		}
	}
	for _, tt := range userFunctions {
		t.Run(tt.name, func(t *testing.T) {
			opts, callOpts := tt.install(t, once(func() { panic(boom) }))
			check(t, opts, callOpts, wrapper.ErrPanicked)
		})
	}
	for _, tt := range breakerFunctions {
		t.Run("breaker's "+tt.name, func(t *testing.T) {
			set, err := breaker.New(breaker.WithThreshold(1), tt.option(once(func() { panic(boom) })))
			if err != nil {
				t.Fatal(err)
			}
			check(t, []wrapper.ClientOption{wrapper.WithBreaker(set)}, nil, wrapper.ErrPanicked)
		})
	}
}

// TestFunctionEndsItsGoroutine, as testing's FailNow does: it is the caller's that
// it means.
func TestFunctionEndsItsGoroutine(t *testing.T) {
	for _, tt := range userFunctions {
		t.Run(tt.name, func(t *testing.T) {
			var seen ends
			opts, callOpts := tt.install(t, once(runtime.Goexit))
			wire := &recorder{answers: []error{errRefused, nil}}
			c := newWire(t, nodes("a", "b"), wire.wire, append(opts, seen.option())...)
			returned := false
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _, _ = call(t.Context(), c, write, callOpts...)
				returned = true
			}()
			<-done
			if returned {
				t.Error("the call returned")
			}
			if got := len(seen.list()); got != 1 {
				t.Errorf("the call has %d ends, want 1", got)
			}
		})
	}
}

// TestSlowFunctionHoldsNoCall: one that takes 3 s does not hold a call that has 100 ms,
// nor one that was cancelled. Hooks are given a moment more, since they are told
// of the end.
func TestSlowFunctionHoldsNoCall(t *testing.T) {
	const deadline, moment, slow = 100 * time.Millisecond, 100 * time.Millisecond, 3 * time.Second
	for _, tt := range userFunctions {
		for _, end := range []string{"deadline", "cancel"} {
			t.Run(tt.name+", "+end, func(t *testing.T) {
				inner := stock(nodes("a", "b"))
				synctest.Test(t, func(t *testing.T) {
					ended := false
					opts, callOpts := tt.install(t, once(func() {
						time.Sleep(slow)
						ended = true
					}))
					wire := &recorder{answers: []error{errRefused, nil}}
					c := wrap(t, wireClient{inner, wire.wire}, opts...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					if end == "deadline" {
						ctx, cancel = context.WithTimeout(t.Context(), deadline)
						defer cancel()
					} else {
						time.AfterFunc(deadline, cancel)
					}
					began := time.Now()
					_, _, err := call(ctx, c, write, callOpts...)
					took := time.Since(began)
					if most := deadline + moment; took > most {
						t.Errorf("the call took %v, want at most %v (error %v)", took, most, err)
					}
					time.Sleep(slow)
					synctest.Wait()
					if !ended {
						t.Error("the function was not called to its end")
					}
				})
			})
		}
	}
}

// TestSlowPolicyDoesNotHoldAnAnswer: it is asked about an attempt that has had its
// share of the time, and the answer arrives meanwhile.
func TestSlowPolicyDoesNotHoldAnAnswer(t *testing.T) {
	const slow, answered = time.Minute, 5 * time.Second
	for _, tt := range userFunctions {
		if !strings.Contains(tt.name, "olicy") && tt.name != "client.WithRetry" && tt.name != "client.WithBackoff" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b"))
			synctest.Test(t, func(t *testing.T) {
				opts, callOpts := tt.install(t, func() { time.Sleep(slow) })
				wire := new(recorder)
				c := wrap(t, wireClient{inner, delayed(answered, wire.wire)}, append(opts, safety(t))...)
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // a share has 3
				defer cancel()
				began := time.Now()
				_, report, err := call(ctx, c, read, callOpts...)
				if err != nil {
					t.Errorf("error %v, story %v", err, report.Attempts)
				}
				if took, most := time.Since(began), answered+100*time.Millisecond; took > most {
					t.Errorf("the call took %v, want at most %v", took, most)
				}
				time.Sleep(2 * slow)
			})
		})
	}
}

// TestLeftFunctionTouchesNothing leaves functions that go on, look at all that
// they were given, and return something: the caller uses its own meanwhile.
func TestLeftFunctionTouchesNothing(t *testing.T) {
	release := make(chan struct{})
	var began, ended atomic.Int32
	linger := func(look ...func() any) {
		began.Add(1)
		defer ended.Add(1)
		<-release
		for _, l := range look {
			_ = fmt.Sprint(l())
		}
	}
	policy := func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
		a, _ := retryfunc.AttemptFrom(ctx)
		linger(func() any { return *a }, func() any { return req.Endpoint() })
		return true, err
	}
	for name, option := range map[string]wrapper.ClientOption{
		"policy": wrapper.WithPolicy(policy),
		"rule": wrapper.WithSafety(func(_ context.Context, req client.Request) retryfunc.Safety {
			linger(func() any { return req.Endpoint() })
			return retryfunc.SafetySafe
		}),
		"key generator": wrapper.WithKeyGenerator(func() (string, error) {
			linger()
			return "a-key", nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{answers: []error{errRefused, nil}}
			c := newWire(t, nodes("a", "b"), wire.wire, option)
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				_, report, _ := call(ctx, c, write)
				cancel()
				clear(report.Attempts) // they are the caller's own
			}
		})
	}
	close(release)
	for began.Load() > ended.Load() {
		time.Sleep(time.Millisecond)
	}
	if began.Load() < 3 {
		t.Errorf("%d functions were left, want 3 at least", began.Load())
	}
}

// TestPanicThatNobodyWaitsForIsLogged: it must neither end the process nor
// disappear.
func TestPanicThatNobodyWaitsForIsLogged(t *testing.T) {
	log := logtest.Default(t)
	inner := stock(nodes("a"))
	synctest.Test(t, func(t *testing.T) {
		c := wrap(t, wireClient{inner, new(recorder).wire}, wrapper.WithSafety(ruleThat(func() {
			time.Sleep(time.Minute)
			panic("much too late")
		})))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := call(ctx, c, write); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Hour)
	})
	if got := log.String(); !strings.Contains(got, "much too late") || !strings.Contains(got, "userfunc_test.go") {
		t.Errorf("log %q, want the panic and its stack", got)
	}
}

// TestPolicyIsAskedAboutWhatHappened compares what a policy is told with what
// arrived at the wire.
func TestPolicyIsAskedAboutWhatHappened(t *testing.T) {
	var told []string
	policy := func(ctx context.Context, _ client.Request, _ int, err error) (bool, error) {
		a, ok := retryfunc.AttemptFrom(ctx)
		if !ok || err == nil {
			t.Errorf("asked about attempt %v, error %v", a, err)
			return false, nil
		}
		told = append(told, a.Address)
		return true, nil
	}
	wire := &recorder{answers: []error{errBroken, errRefused, errTimeout, errBroken, nil}}
	c := newWire(t, nodes("a", "b"), wire.wire, wrapper.WithAttempts(9), wrapper.WithPolicy(policy))
	if _, _, err := call(t.Context(), c, write); err != nil {
		t.Fatal(err)
	}
	if want := wire.addresses()[:4]; !slices.Equal(told, want) {
		t.Errorf("asked about attempts on %v, want %v", told, want)
	}
}

// TestKeyGeneratorOfAMessage may be slow and may panic, as that of a call.
func TestKeyGeneratorOfAMessage(t *testing.T) {
	boom := errors.New("boom")
	inner := stock(nil)
	synctest.Test(t, func(t *testing.T) {
		slow := wrap(t, inner, wrapper.WithKeyGenerator(func() (string, error) {
			time.Sleep(3 * time.Second)
			return "late", nil
		}), wrapper.WithBreaker(newSet(t)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := slow.Publish(ctx, slow.NewMessage("topic", nil))
		if e := merrors.FromError(err); err == nil || e.Code != 408 || time.Since(began) != 100*time.Millisecond {
			t.Errorf("error %v after %v, want a 408 after 100 ms", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		panicking := wrap(t, inner, wrapper.WithKeyGenerator(func() (string, error) { panic(boom) }), wrapper.WithBreaker(newSet(t)))
		defer func() {
			if got := recover(); got != boom {
				t.Errorf("recovered %v, want %v", got, boom)
			}
		}()
		later, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = panicking.Publish(later, panicking.NewMessage("topic", nil))
	})
}
