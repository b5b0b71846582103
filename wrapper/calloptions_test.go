package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestWrongOptionOfOneCall: the error names the option, the value and what is
// allowed, is one of go-micro's and the caller's 400, and nothing is sent.
func TestWrongOptionOfOneCall(t *testing.T) {
	for _, tt := range []struct {
		option client.CallOption
		want   string
		is     error
	}{
		{wrapper.WithPolicy(nil), "WithPolicy(<nil>): must be a retry function", nil},
		{wrapper.WithAttempts(0), "WithAttempts(0): must be 1 to 100", nil},
		{wrapper.WithAttempts(101), "WithAttempts(101): must be 1 to 100", nil},
		{wrapper.WithAttemptTimeout(-time.Second), "WithAttemptTimeout(-1s): must be 0", nil},
		{wrapper.WithStreamBuffer(-1), "WithStreamBuffer(-1): must be 0 to 67108864 bytes", nil},
		{wrapper.WithStreamBuffer(64<<20 + 1), "WithStreamBuffer(67108865): must be 0 to 67108864 bytes", nil},
		{wrapper.WithBackoff(nil), "WithBackoff(<nil>): must be a backoff", nil},
		{wrapper.WithHedge(0), "WithHedge(0s): must be a positive duration", nil},
		{wrapper.WithAdaptiveHedge(1.5, 0, time.Second), "WithAdaptiveHedge(1.5, 0s, 1s): must be a quantile", nil},
		{client.CallOption(wrapper.WithHedgeBudget(nil)), "WithHedgeBudget(…): must be given to NewClientWrapper", nil},
		{wrapper.WithSafety(nil), "WithSafety(<nil>): must be a rule", nil},
		{wrapper.WithSafety(retryfunc.Every(retryfunc.SafetyUnknown)), "WithSafety: retryfunc: Every(unknown): must be unsafe, keyed, idempotent or safe", nil},
		{wrapper.WithSafety(retryfunc.First(retryfunc.Every(9))), "WithSafety: retryfunc: Every(Safety(9)): must be", nil},
		{wrapper.WithSafety(func(context.Context, client.Request) retryfunc.Safety { return 9 }), "WithSafety: the rule says Safety(9) of bank/", nil},
		{wrapper.WithCallKey(""), `WithCallKey(""): idempotency: invalid key: it is empty; a key is 1 to 255`, idempotency.ErrInvalidKey},
		{wrapper.WithCallKey("a b"), `WithCallKey("a b"): idempotency: invalid key: the character at position 2`, idempotency.ErrInvalidKey},
		{wrapper.WithStory(nil), "WithStory(<nil>): must be a pointer to a Report", nil},
		{client.CallOption(wrapper.WithBudget(nil)), "WithBudget(…): must be given to NewClientWrapper", nil},
		{nil, "nil call option", nil},
	} {
		t.Run(tt.want, func(t *testing.T) {
			var seen ends
			wire := new(recorder)
			c := newWire(t, nodes("a"), wire.wire, seen.option())
			_, _, err := call(t.Context(), c, write, tt.option)
			checkRefused(t, err, tt.want, tt.is)
			_, err = c.Stream(t.Context(), c.NewRequest("bank", write, nil, client.StreamingRequest()), tt.option)
			checkRefused(t, err, tt.want, tt.is)
			if got := wire.addresses(); len(got) != 0 {
				t.Errorf("attempts went to %v, want none", got)
			}
			if got := len(seen.list()); got != 2 {
				t.Errorf("%d ends, want one of the call and one of the stream", got)
			}
		})
	}
}

func checkRefused(t *testing.T, err error, want string, is error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(unquoted(err), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
	if e, ok := merrors.As(err); !ok || e.Code != 400 {
		t.Errorf("error %v, want a 400 of go-micro's", err)
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %v is not %v", err, is)
	}
}

// unquoted is the detail of an error, which is quoted in its text.
func unquoted(err error) string { return merrors.FromError(err).Detail }

// TestEveryWrongOptionOfOneCallIsNamed.
func TestEveryWrongOptionOfOneCallIsNamed(t *testing.T) {
	c := newWire(t, nodes("a"), new(recorder).wire)
	_, _, err := call(t.Context(), c, write, wrapper.WithAttempts(0), wrapper.WithPolicy(nil), wrapper.WithCallKey(""))
	for _, want := range []string{"WithAttempts", "WithPolicy", "WithCallKey"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %s", err, want)
		}
	}
}

// TestOptionForOneCall: it overrules the wrapper's own for that call, and for no
// other.
func TestOptionForOneCall(t *testing.T) {
	backoff, err := retryfunc.NewBackoff(retryfunc.WithBase(time.Hour), retryfunc.WithCap(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		endpoint string
		answers  []error
		option   client.CallOption
		with     int // attempts
		without  int
	}{
		{"policy", write, []error{errBroken}, wrapper.WithPolicy(retryfunc.Always), 3, 1},
		{"policy that refuses", read, []error{errBroken}, wrapper.WithPolicy(never), 1, 3},
		{"more attempts", read, []error{errBroken}, wrapper.WithAttempts(4), 4, 3},
		{"fewer attempts", read, []error{errBroken}, wrapper.WithAttempts(2), 2, 3},
		{"no retry", read, []error{errBroken}, wrapper.WithoutRetry(), 1, 3},
		{"no retry still moves on where nothing was sent", read, []error{errRefused, nil, errRefused, nil}, wrapper.WithoutRetry(), 2, 2},
		{"safe", write, []error{errBroken}, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)), 3, 1},
		{"idempotent", write, []error{errBroken}, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetyIdempotent)), 3, 1},
		{"unsafe", read, []error{errBroken}, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetyUnsafe)), 1, 3},
		{"backoff", read, []error{errBroken}, wrapper.WithBackoff(backoff), 2, 3}, // an hour is more than the call has
		{"several", write, []error{errBroken}, func(o *client.CallOptions) {
			wrapper.WithPolicy(retryfunc.Always)(o)
			wrapper.WithAttempts(2)(o)
		}, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b"))
			synctest.Test(t, func(t *testing.T) {
				wire := &recorder{answers: tt.answers}
				c := wrap(t, wireClient{inner, wire.wire}, safety(t), wrapper.WithBreaker(newSet(t)))
				_, _, _ = call(t.Context(), c, tt.endpoint, tt.option)
				with := len(wire.addresses())
				if with != tt.with {
					t.Errorf("%d attempts with the option, want %d", with, tt.with)
				}
				_, _, _ = call(t.Context(), c, tt.endpoint)
				if without := len(wire.addresses()) - with; without != tt.without {
					t.Errorf("%d attempts without the option, want %d", without, tt.without)
				}
			})
		})
	}
}

func TestAttemptTimeoutOfOneCall(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		wire := new(recorder)
		c := wrap(t, wireClient{inner, delayed(20*time.Second, wire.wire)}, safety(t))
		_, report, err := call(t.Context(), c, read, wrapper.WithAttemptTimeout(time.Second), wrapper.WithAttempts(2))
		if err != nil || len(report.Attempts) != 2 || report.Attempts[0].Duration != time.Second {
			t.Errorf("error %v, story %v, want a first attempt of a second", err, report.Attempts)
		}
		time.Sleep(time.Minute)
	})
}

func TestKeyOfOneCall(t *testing.T) {
	wire := new(recorder)
	c := newWire(t, nodes("a"), wire.wire)
	ctx := idempotency.WithKey(t.Context(), "the-context's")
	var story wrapper.Report
	if _, _, err := call(ctx, c, write, wrapper.WithCallKey(`"the-call's"`), wrapper.WithStory(&story)); err != nil {
		t.Fatal(err)
	}
	if got := wire.arrived[0].metadata[idempotency.HeaderKey]; got != "the-call's" || story.Key != got {
		t.Errorf("key %q, in the story %q, want the call's", got, story.Key)
	}
	if _, report, err := call(t.Context(), c, write); err != nil || report.Key == "the-call's" {
		t.Errorf("error %v, and the next call has key %q", err, report.Key)
	}
}

// TestStoryOfOneCall is told beside that of the context, and each is its reader's.
func TestStoryOfOneCall(t *testing.T) {
	wire := &recorder{answers: []error{errRefused, nil}}
	c := newWire(t, nodes("a", "b"), wire.wire)
	var story wrapper.Report
	_, report, err := call(t.Context(), c, write, wrapper.WithStory(&story))
	if err != nil || !slices.Equal(story.Attempts, report.Attempts) || len(story.Attempts) != 2 {
		t.Errorf("error %v, stories %v and %v, want the same twice", err, story.Attempts, report.Attempts)
	}
	clear(story.Attempts)
	if report.Attempts[0].Number != 1 {
		t.Error("the stories share their attempts")
	}
}

// TestOptionsOnRealNodes makes calls with options of their own, over the wire.
func TestOptionsOnRealNodes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a := fixture.Start(t, fixture.Config{Transport: transport})
		b := fixture.Start(t, fixture.Config{Transport: transport})
		c := wrap(t, fixture.NewClient(t, transport, []string{a.Address(), b.Address()}))
		executions := func() int { return a.Executions(fixture.InternalError) + b.Executions(fixture.InternalError) }
		safe := wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe))
		for _, tt := range []struct {
			name    string
			options []client.CallOption
			want    int
		}{
			{"none", nil, 1},
			{"safe", []client.CallOption{safe}, 3},
			{"safe, two attempts", []client.CallOption{safe, wrapper.WithAttempts(2)}, 2},
			{"safe, no retry", []client.CallOption{safe, wrapper.WithoutRetry()}, 1},
			{"safe, four retries of go-micro's", []client.CallOption{safe, client.WithRetries(4)}, 5},
			{"always", []client.CallOption{wrapper.WithPolicy(retryfunc.Always)}, 3},
			{"always, of go-micro's", []client.CallOption{client.WithRetry(retryfunc.Always)}, 3},
		} {
			before := executions()
			var story wrapper.Report
			_, err := fixture.Call(t.Context(), c, fixture.InternalError, "no", append(tt.options, wrapper.WithStory(&story))...)
			if got := executions() - before; err == nil || got != tt.want || len(story.Attempts) != tt.want {
				t.Errorf("%s: %d executions and error %v, want %d: %v", tt.name, got, err, tt.want, story.Attempts)
			}
		}
	})
}

// TestOtherClientsIgnoreOptions: a client that is not wrapped makes the call as
// it would without them.
func TestOtherClientsIgnoreOptions(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		c := fixture.NewClient(t, transport, []string{node.Address()})
		var story wrapper.Report
		answer, err := fixture.Call(t.Context(), c, fixture.Echo, "", wrapper.WithPolicy(never), wrapper.WithAttempts(0),
			wrapper.WithoutRetry(), wrapper.WithAttemptTimeout(-1), wrapper.WithBackoff(nil), wrapper.WithSafety(nil), wrapper.WithStreamBuffer(-1),
			wrapper.WithCallKey(""), wrapper.WithStory(&story), client.CallOption(wrapper.WithBudget(nil)))
		if err != nil || answer != node.ID() {
			t.Errorf("answer %q, error %v", answer, err)
		}
		if len(story.Attempts) != 0 {
			t.Errorf("somebody told a story: %v", story)
		}
	})
}

// TestGoMicrosOwnOptions of one call are honoured where they are given, also where
// they say what the client was configured with.
func TestGoMicrosOwnOptions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option client.CallOption
		want   int
	}{
		{"retries", client.WithRetries(1), 2},
		{"no retries", client.WithRetries(0), 1},
		{"as many as the client's", client.WithRetries(client.DefaultRetries), client.DefaultRetries + 1},
		{"one more", func(o *client.CallOptions) { o.Retries++ }, client.DefaultRetries + 2},
		{"twice as many", func(o *client.CallOptions) { o.Retries *= 2 }, 2*client.DefaultRetries + 1},
		{"at most one", func(o *client.CallOptions) { o.Retries = min(o.Retries, 1) }, 2},
		{"at most the client's", func(o *client.CallOptions) { o.Retries = min(o.Retries, client.DefaultRetries) }, client.DefaultRetries + 1},
		{"looked at and left", func(o *client.CallOptions) { _ = o.Retries }, wrapper.DefaultAttempts},
		{"policy", client.WithRetry(never), 1},
		{"nil policy", client.WithRetry(nil), wrapper.DefaultAttempts},
		{"nil backoff", client.WithBackoff(nil), wrapper.DefaultAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b"))
			synctest.Test(t, func(t *testing.T) {
				wire := &recorder{answers: []error{errBroken}}
				c := wrap(t, wireClient{inner, wire.wire}, safety(t), wrapper.WithBreaker(newSet(t)))
				if _, _, err := call(t.Context(), c, read, tt.option); err == nil {
					t.Error("no error")
				}
				if got := len(wire.addresses()); got != tt.want {
					t.Errorf("%d attempts, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestDecorators: an option that decorates what is there gets what the bare
// client gives it.
func TestDecorators(t *testing.T) {
	at := func(pause time.Duration) client.BackoffFunc {
		return func(context.Context, client.Request, int) (time.Duration, error) { return pause, nil }
	}
	configured := func(_ context.Context, _ client.Request, n int, err error) (bool, error) {
		return n < 2, nil
	}
	stop := errors.New("stop")
	for _, tt := range []struct {
		name   string
		option func(said func(...any)) client.CallOption
	}{
		{"policy", func(said func(...any)) client.CallOption {
			return func(o *client.CallOptions) {
				inner := o.Retry
				o.Retry = func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
					retry, rerr := inner(ctx, req, n, err)
					said(n, retry, rerr)
					return retry, rerr
				}
			}
		}},
		{"policy, if there is one", func(said func(...any)) client.CallOption {
			return func(o *client.CallOptions) {
				if inner := o.Retry; inner != nil {
					o.Retry = func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
						retry, rerr := inner(ctx, req, n, err)
						said(n, retry, rerr)
						return retry, rerr
					}
				}
			}
		}},
		{"policy that replaces the error", func(said func(...any)) client.CallOption {
			return func(o *client.CallOptions) {
				inner := o.Retry
				o.Retry = func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
					retry, _ := inner(ctx, req, n, err)
					said(n, retry)
					return false, stop
				}
			}
		}},
		{"backoff", func(said func(...any)) client.CallOption {
			return func(o *client.CallOptions) {
				retry, inner := o.Retry, o.Backoff
				o.Retry = retry
				o.Backoff = func(ctx context.Context, req client.Request, n int) (time.Duration, error) {
					pause, err := inner(ctx, req, n)
					said(n, pause, err)
					return 2 * pause, err
				}
			}
		}},
		{"twice", func(said func(...any)) client.CallOption {
			decorate := func(o *client.CallOptions) {
				inner := o.Backoff
				o.Backoff = func(ctx context.Context, req client.Request, n int) (time.Duration, error) {
					pause, err := inner(ctx, req, n)
					said(n, pause)
					return pause + time.Second, err
				}
			}
			return func(o *client.CallOptions) {
				decorate(o)
				decorate(o)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := func(wrapped bool) (log []string, attempts []string, took time.Duration, failure error) {
				inner := client.NewClient(client.Selector(fixedSelector{services: nodes("a")}),
					client.Retry(configured), client.Backoff(at(time.Second)))
				synctest.Test(t, func(t *testing.T) {
					wire := &recorder{answers: []error{errTimeout}}
					var c client.Client = wireClient{inner, wire.wire}
					if wrapped {
						c = wrap(t, c, wrapper.WithPolicy(retryfunc.Always), wrapper.WithBreaker(newSet(t)))
					}
					said := func(words ...any) { log = append(log, fmt.Sprint(words...)) }
					opts := []client.CallOption{tt.option(said)}
					if strings.Contains(tt.name, "backoff") || tt.name == "twice" {
						opts = append(opts, client.WithRetry(configured))
					}
					began := time.Now()
					_, _, failure = call(t.Context(), c, write, opts...)
					took, attempts = time.Since(began), wire.addresses()
				})
				return log, attempts, took, failure
			}
			bareLog, bareAttempts, bareTook, bareErr := run(false)
			log, attempts, took, err := run(true)
			if len(bareLog) == 0 {
				t.Fatal("the bare client has not asked")
			}
			if !slices.Equal(log, bareLog) {
				t.Errorf("the decorator saw %q, bare %q", log, bareLog)
			}
			if !slices.Equal(attempts, bareAttempts) {
				t.Errorf("attempts on %v, bare %v", attempts, bareAttempts)
			}
			if ours := strings.HasPrefix(tt.name, "policy"); took != bareTook && !ours { // a backoff that the call did not ask for is overruled
				t.Errorf("took %v, bare %v", took, bareTook)
			}
			if !errors.Is(err, bareErr) && fmt.Sprint(err) != fmt.Sprint(bareErr) {
				t.Errorf("error %v, bare %v", err, bareErr)
			}
		})
	}
}

// TestOptionsThatLookAtTheContext: one that adds to the context of the options
// finds there what the client was configured with, as bare.
func TestOptionsThatLookAtTheContext(t *testing.T) {
	type key struct{}
	configure := func(o *client.Options) {
		o.CallOptions.Context = context.WithValue(context.Background(), key{}, "configured") //nolint:fatcontext // of the options given
	}
	inner := client.NewClient(client.Selector(fixedSelector{services: nodes("a")}), configure)
	c := wrap(t, wireClient{inner, new(recorder).wire})
	var seen []any
	add := func(o *client.CallOptions) {
		seen = append(seen, o.Context.Value(key{}))
		o.Context = context.WithValue(o.Context, key{}, "mine")
	}
	if _, _, err := call(t.Context(), c, write, add); err != nil {
		t.Fatal(err)
	}
	for _, got := range seen {
		if got != "configured" {
			t.Errorf("the option saw %v, want what was configured", got)
		}
	}
}
