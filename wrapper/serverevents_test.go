package wrapper_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture/hello"
	"github.com/oncemore-dev/oncemore/internal/logtest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// serverSightings collects what a server's observer sees. It is safe for concurrent use.
type serverSightings struct {
	mu       sync.Mutex
	requests []wrapper.RequestEnded
	guarded  []idempotency.EventKind
	panics   int
}

func (s *serverSightings) option() wrapper.ServerOption {
	return wrapper.WithServerObserver(wrapper.ObserverFunc(func(_ context.Context, e wrapper.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch e := e.(type) {
		case *wrapper.RequestEnded:
			s.requests = append(s.requests, *e)
		case *wrapper.Guarded:
			s.guarded = append(s.guarded, e.Kind)
		case *wrapper.HandlerPanicked:
			s.panics++
		}
	}))
}

func (s *serverSightings) count(kind idempotency.EventKind) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.guarded {
		if k == kind {
			n++
		}
	}
	return n
}

// TestEveryRequestHasOneEnd, and it says how the request was answered.
func TestEveryRequestHasOneEnd(t *testing.T) {
	logtest.Default(t)
	fails := errors.New("disk full")
	for name, tt := range map[string]struct {
		key     string // of the metadata; empty: none
		before  int    // requests with the key before
		handle  error
		panics  bool
		opts    []wrapper.ServerOption
		outcome wrapper.Outcome
		reason  string
	}{
		"without a key":         {outcome: wrapper.OutcomeUnkeyed},
		"panic without a key":   {panics: true, outcome: wrapper.OutcomeUnkeyed},
		"first":                 {key: "k", outcome: wrapper.OutcomeExecuted},
		"failed":                {key: "k", handle: fails, outcome: wrapper.OutcomeExecuted},
		"panic":                 {key: "k", panics: true, outcome: wrapper.OutcomeExecuted},
		"duplicate":             {key: "k", before: 1, outcome: wrapper.OutcomeReplayed},
		"duplicate of an error": {key: "k", before: 1, handle: fails, outcome: wrapper.OutcomeReplayed},
		"settles nothing":       {key: "k", handle: idempotency.NotDone(fails), outcome: wrapper.OutcomeReleased},
		"malformed key":         {key: "a b", outcome: wrapper.OutcomeRefused, reason: "key"},
		"key needed": {
			opts:    []wrapper.ServerOption{wrapper.WithKeyMode(wrapper.KeyRequired)},
			outcome: wrapper.OutcomeRefused, reason: "key_required",
		},
		"caller not known": {
			key:     "k",
			opts:    []wrapper.ServerOption{wrapper.WithCaller(func(context.Context, string) (string, error) { return "", fails })},
			outcome: wrapper.OutcomeRefused, reason: "caller",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen serverSightings
			handle := wrapHandler(t, func(context.Context, server.Request, any) error {
				if tt.panics {
					panic("storm")
				}
				return tt.handle
			}, append(tt.opts, seen.option())...)
			ctx := t.Context()
			if tt.key != "" {
				ctx = keyed(ctx, tt.key, idempotency.HeaderRetryCount, "2")
			}
			req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
			var err error
			for range tt.before + 1 {
				err = handle(ctx, req, new(hello.TipReply))
			}
			if len(seen.requests) != tt.before+1 {
				t.Fatalf("%d ends of %d requests", len(seen.requests), tt.before+1)
			}
			got := seen.requests[tt.before]
			if got.Outcome != tt.outcome || got.Reason != tt.reason {
				t.Errorf("ended %s (%s), want %s (%s)", got.Outcome, got.Reason, tt.outcome, tt.reason)
			}
			if got.Service != "hello-srv" || got.Endpoint != "Wallet.Tip" || got.Took <= 0 {
				t.Errorf("the end is of %s/%s after %v", got.Service, got.Endpoint, got.Took)
			}
			if got.Err != err {
				t.Errorf("the end's error: got %v, want the caller's, %v", got.Err, err)
			}
			if tt.key != "" && got.Previous != 2 {
				t.Errorf("%d attempts before this one, want 2", got.Previous)
			}
			if want := tt.panics && tt.key == ""; want != (seen.panics == 1) {
				t.Errorf("%d panics were told, want one: %t", seen.panics, want)
			}
		})
	}
}

// TestJoinedIsTold: who waits for a running execution is told of while it waits, and as
// one who joined when it is answered.
func TestJoinedIsTold(t *testing.T) {
	var seen serverSightings
	began, release := make(chan struct{}), make(chan struct{})
	handle := wrapHandler(t, func(context.Context, server.Request, any) error {
		close(began)
		<-release
		return nil
	}, seen.option())
	req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
	ask := func() {
		if err := handle(keyed(t.Context(), "k"), req, new(hello.TipReply)); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(ask)
	<-began
	wg.Go(ask)
	awaitTrue(t, func() bool { return seen.count(idempotency.EventJoined) == 1 })
	close(release)
	wg.Wait()
	outcomes := map[wrapper.Outcome]int{}
	for _, r := range seen.requests {
		outcomes[r.Outcome]++
	}
	if outcomes[wrapper.OutcomeExecuted] != 1 || outcomes[wrapper.OutcomeJoined] != 1 {
		t.Errorf("outcomes %v, want one executed and one joined", outcomes)
	}
	for _, kind := range []idempotency.EventKind{idempotency.EventClaimed, idempotency.EventExecuted, idempotency.EventReplayed} {
		if n := seen.count(kind); n != 1 {
			t.Errorf("%d times %s, want once", n, kind)
		}
	}
	if n := seen.count(idempotency.EventStoreOperation); n < 2 {
		t.Errorf("%d store operations were told, want a claim and a completion at least", n)
	}
}

// TestObserverDoesNotSilenceTheLog: a panic is logged, whoever else is told of it.
func TestObserverDoesNotSilenceTheLog(t *testing.T) {
	log := logtest.Default(t)
	var seen serverSightings
	handle := wrapHandler(t, func(context.Context, server.Request, any) error { panic("storm") }, seen.option())
	req := request{endpoint: "Wallet.Tip", body: &hello.TipRequest{Student: "xuxu"}}
	if err := handle(t.Context(), req, new(hello.TipReply)); err == nil {
		t.Error("no error of a handler that panicked")
	}
	if got := log.String(); !strings.Contains(got, "a handler panicked") || !strings.Contains(got, "storm") {
		t.Errorf("log %q, want the panic", got)
	}
	if seen.panics != 1 {
		t.Errorf("%d panics were told, want 1", seen.panics)
	}
}
