package wrapper_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const tipEndpoint = "Wallet.Tip"

func tip(ctx context.Context, handle server.HandlerFunc) error {
	req := request{endpoint: tipEndpoint, body: &hello.TipRequest{Student: "xuxu"}}
	return handle(ctx, req, new(hello.TipReply))
}

func fixedLimit(t *testing.T, n int) *concurrency.Limiter {
	t.Helper()
	l, err := concurrency.NewFixed(n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func isRefused(err error) bool {
	mark, ok := retryfunc.ParseMark(err)
	return ok && mark.Kind == retryfunc.MarkRefused && mark.Service == "hello-srv"
}

// firstAttempt is the context of a call's first attempt, whose key was minted for it.
func firstAttempt(ctx context.Context, key string) context.Context {
	return keyed(ctx, key, idempotency.HeaderIssued, idempotency.FormatIssued(time.Now()), idempotency.HeaderRetryCount, "0")
}

// TestLimitRefusesWhatWouldRun, and nothing else: a duplicate of what runs waits for
// it, and one of what ran gets its answer.
func TestLimitRefusesWhatWouldRun(t *testing.T) {
	const key, other = "k", "other"
	kinds := map[string]struct {
		ctx     func(context.Context) context.Context
		refused bool
	}{
		"no key":             {func(ctx context.Context) context.Context { return ctx }, true},
		"a key":              {func(ctx context.Context) context.Context { return keyed(ctx, other) }, true},
		"a first attempt":    {func(ctx context.Context) context.Context { return firstAttempt(ctx, other) }, true},
		"a later attempt":    {func(ctx context.Context) context.Context { return keyed(ctx, other, idempotency.HeaderRetryCount, "1") }, true},
		"a duplicate":        {func(ctx context.Context) context.Context { return keyed(ctx, key) }, false},
		"a later duplicate":  {func(ctx context.Context) context.Context { return keyed(ctx, key, idempotency.HeaderRetryCount, "1") }, false},
		"a recorded request": {func(ctx context.Context) context.Context { return keyed(ctx, "recorded") }, false},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			limiter := fixedLimit(t, 1)
			var refusals refusalLog
			handle, runs, release := blocking(t, wrapper.WithConcurrencyLimit(limiter),
				wrapper.WithServerObserver(&refusals))
			ctx := t.Context()
			release <- struct{}{}
			if err := tip(keyed(ctx, "recorded"), handle); err != nil {
				t.Fatal(err)
			}
			<-runs
			first := make(chan error, 1)
			go func() { first <- tip(keyed(ctx, key), handle) }()
			<-runs
			second := make(chan error, 1)
			go func() { second <- tip(kind.ctx(ctx), handle) }()
			if kind.refused {
				if err := <-second; !isRefused(err) {
					t.Errorf("%v, want a refusal", err)
				}
				release <- struct{}{}
			} else {
				release <- struct{}{}
				if err := <-second; err != nil {
					t.Error(err)
				}
			}
			if err := <-first; err != nil {
				t.Error(err)
			}
			want := 0
			if kind.refused {
				want = 1
			}
			if s := limiter.Snapshot(); s.Running != 0 || s.Admitted != 2 || int(s.Refused) != want || len(refusals.told()) != want {
				t.Errorf("%+v, %v", s, refusals.told())
			}
			for _, r := range refusals.told() {
				if r != tipEndpoint+" busy" {
					t.Error(r)
				}
			}
		})
	}
}

// blocking is a handler that says when it runs, and runs until it is told to end.
func blocking(t *testing.T, opts ...wrapper.ServerOption) (_ server.HandlerFunc, runs, release chan struct{}) {
	t.Helper()
	runs, release = make(chan struct{}, 8), make(chan struct{}, 8)
	return wrapHandler(t, func(context.Context, server.Request, any) error {
		runs <- struct{}{}
		<-release
		return nil
	}, opts...), runs, release
}

// TestRefusedCallExecutesLater: what was refused left nothing behind.
func TestRefusedCallExecutesLater(t *testing.T) {
	handle, runs, release := blocking(t, wrapper.WithConcurrencyLimit(fixedLimit(t, 1)))
	busy := make(chan error, 1)
	go func() { busy <- tip(t.Context(), handle) }()
	<-runs
	for _, ctx := range []context.Context{keyed(t.Context(), "k"), keyed(t.Context(), "k"), firstAttempt(t.Context(), "l")} {
		if err := tip(ctx, handle); !isRefused(err) {
			t.Errorf("%v, want a refusal", err)
		}
	}
	release <- struct{}{}
	if err := <-busy; err != nil {
		t.Error(err)
	}
	release <- struct{}{}
	release <- struct{}{}
	for _, ctx := range []context.Context{keyed(t.Context(), "k"), firstAttempt(t.Context(), "l")} {
		if err := tip(ctx, handle); err != nil {
			t.Error(err)
		}
	}
}

// TestLimitOfEndpoints: an endpoint that is named has its own, the others share one.
func TestLimitOfEndpoints(t *testing.T) {
	named, others := fixedLimit(t, 1), fixedLimit(t, 1)
	handle := wrapHandler(t, func(context.Context, server.Request, any) error { return errors.New("no") },
		wrapper.WithConcurrencyLimit(others), wrapper.WithConcurrencyLimit(named, tipEndpoint))
	_ = tip(t.Context(), handle)
	for _, endpoint := range []string{"Say.Hello", "Say.Count"} {
		_ = handle(t.Context(), request{endpoint: endpoint}, new(hello.TipReply))
	}
	if n, o := named.Snapshot(), others.Snapshot(); n.Admitted != 1 || o.Admitted != 2 || n.Running+o.Running != 0 {
		t.Errorf("named %+v, others %+v", n, o)
	}
}

// TestPlaceIsGivenBack, however the handler ends.
func TestPlaceIsGivenBack(t *testing.T) {
	limiter := fixedLimit(t, 1)
	ends := map[string]func() error{
		"well": func() error { return nil }, "error": func() error { return errors.New("no") },
		"panic": func() error { panic("no") },
	}
	for name, end := range ends {
		handle := wrapHandler(t, func(context.Context, server.Request, any) error { return end() },
			wrapper.WithConcurrencyLimit(limiter))
		for _, ctx := range []context.Context{t.Context(), keyed(t.Context(), name), firstAttempt(t.Context(), name+"1")} {
			if err := tip(ctx, handle); isRefused(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if s := limiter.Snapshot(); s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

// refusalLog is an observer of the requests that are refused: "Say.Hello busy".
type refusalLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *refusalLog) Observe(_ context.Context, e wrapper.Event) {
	if r, ok := e.(*wrapper.RequestEnded); ok && r.Outcome == wrapper.OutcomeRefused {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen = append(l.seen, r.Endpoint+" "+r.Reason)
	}
}

func (l *refusalLog) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen)
}

func attemptTime(ctx context.Context, text string) context.Context {
	return metadata.NewContext(ctx, metadata.Metadata{idempotency.HeaderAttemptTime: text})
}

// TestHandlerHasTheTimeOfItsAttempt, and not what go-micro adds to it; a keyed
// execution, which later attempts join, has its own.
func TestHandlerHasTheTimeOfItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name string
			ctx  context.Context
			want time.Duration
		}{
			{"said", attemptTime(t.Context(), "850ms"), 850 * time.Millisecond},
			{"with more", attemptTime(t.Context(), "850ms; spare=1; path=2; colour=red"), 850 * time.Millisecond},
			{"lower case", metadata.NewContext(t.Context(), metadata.Metadata{"attempt-time": "1s"}), time.Second},
			{"not said", t.Context(), 0},
			{"unreadable", attemptTime(t.Context(), "soon"), 0},
			{"keyed", keyed(t.Context(), "k", idempotency.HeaderAttemptTime, "850ms"), 30 * time.Second},
		}
		for _, tt := range tests {
			var left time.Duration
			var leaked bool
			handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
				if deadline, ok := ctx.Deadline(); ok {
					left = time.Until(deadline)
				}
				md, _ := metadata.FromContext(ctx)
				leaked = len(md) > 0
				return nil
			})
			if err := tip(tt.ctx, handle); err != nil || left != tt.want || leaked {
				t.Errorf("%s: %v, the handler has %v, want %v; leaked: %v", tt.name, err, left, tt.want, leaked)
			}
		}
		time.Sleep(time.Minute) // the contexts end
	})
}

// TestTooLate: an attempt whose time was over when it came is refused.
func TestTooLate(t *testing.T) {
	var refusals refusalLog
	runs := 0
	handle := wrapHandler(t, func(context.Context, server.Request, any) error { runs++; return nil },
		wrapper.WithServerObserver(&refusals))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late := []context.Context{
		attemptTime(t.Context(), "0s"), attemptTime(t.Context(), "-5ms"), attemptTime(gone, "1s"),
		keyed(t.Context(), "k", idempotency.HeaderAttemptTime, "-1ns"),
	}
	for _, ctx := range late {
		if err := tip(ctx, handle); !isRefused(err) {
			t.Errorf("%v, want a refusal", err)
		}
	}
	if told := refusals.told(); runs != 0 || !slices.Equal(told, slices.Repeat([]string{tipEndpoint + " late"}, len(late))) {
		t.Errorf("%d executions, told %v", runs, told)
	}
	if err := tip(gone, handle); err != nil || runs != 1 { // as bare: who knows what it is for
		t.Errorf("%v, %d executions", err, runs)
	}
}

// TestLateIsTold: the limit goes by the time that the attempt had.
func TestLateIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := fixedLimit(t, 5)
		handle := wrapHandler(t, func(context.Context, server.Request, any) error {
			time.Sleep(600 * time.Millisecond)
			return nil
		}, wrapper.WithConcurrencyLimit(limiter))
		for _, had := range []string{"1s", "2s"} {
			if err := tip(attemptTime(t.Context(), had), handle); err != nil {
				t.Error(err)
			}
		}
		if err := tip(t.Context(), handle); err != nil { // nobody knows
			t.Error(err)
		}
		if s := limiter.Snapshot(); s.Late != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
	})
}

// TestLimitUnderConcurrentCalls: never more run than may, and each is answered or
// refused.
func TestLimitUnderConcurrentCalls(t *testing.T) {
	const limit, calls = 3, 40
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, answered, refused := 0, 0, 0, 0
		handle := wrapHandler(t, func(context.Context, server.Request, any) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			running--
			return nil
		}, wrapper.WithConcurrencyLimit(fixedLimit(t, limit)))
		var wg sync.WaitGroup
		for i := range calls {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = keyed(ctx, "k"+string(rune('a'+i/2)))
			}
			wg.Go(func() {
				err := tip(ctx, handle)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					answered++
				case isRefused(err):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most > limit || answered+refused != calls || answered < limit {
			t.Errorf("%d ran at once, %d answered, %d refused", most, answered, refused)
		}
	})
}

func TestMisuseOfLimits(t *testing.T) {
	_, err := wrapper.NewHandlerWrapper("hello-srv", newGuard(t, newMemory(t)),
		wrapper.WithConcurrencyLimit(nil), wrapper.WithConcurrencyLimit(fixedLimit(t, 1), ""))
	for _, want := range []string{
		"WithConcurrencyLimit(<nil>): must be a limiter", `WithConcurrencyLimit(""): must be given an endpoint`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestRefusalKeepsCode: what a client makes of a refusal that knows no marks.
func TestRefusalKeepsCode(t *testing.T) {
	handle, runs, release := blocking(t, wrapper.WithConcurrencyLimit(fixedLimit(t, 1)))
	first := make(chan error, 1)
	go func() { first <- tip(t.Context(), handle) }()
	<-runs
	for want, ctx := range map[int32]context.Context{503: t.Context(), 408: attemptTime(t.Context(), "0s")} {
		if e := merrors.Parse(tip(ctx, handle).Error()); e.Code != want || e.Detail == "" {
			t.Errorf("%v, want code %d", e, want)
		}
	}
	release <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
}
