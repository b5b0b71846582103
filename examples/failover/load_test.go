package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// fakeAPI is a user-api that fails whoever asks for the balance of run-7.
type fakeAPI struct {
	mu   sync.Mutex
	keys map[string]int
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Attempts", "2")
	switch r.URL.Path {
	case "/user/test":
		fmt.Fprint(w, `{"message":"Hello xuxu","instance":"one","attempts":2}`)
	case "/user/tip":
		f.mu.Lock()
		f.keys[r.Header.Get("Idempotency-Key")]++
		f.mu.Unlock()
		var body struct {
			Student string `json:"student"`
			Amount  int64  `json:"amount_cents"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Student == "" || body.Amount != tipCents {
			http.Error(w, "bad tip", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"transfer_id":"t","balance_cents":%d}`, tipCents)
	case "/user/balance/run-7":
		http.Error(w, `{"error":"none available"}`, http.StatusServiceUnavailable)
	default:
		fmt.Fprintf(w, `{"student":%q,"balance_cents":5}`, r.URL.Path[len("/user/balance/"):])
	}
}

func TestLoadMakesEachCallOnceAndCountsWhatFailed(t *testing.T) {
	api := &fakeAPI{keys: make(map[string]int)}
	server := httptest.NewServer(api)
	defer server.Close()

	l := newLoad(server.URL, "run-", []operation{opGreet, opBalance, opTip})
	calls, err := l.drive(t.Context(), 150, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	// A caller that has looked before the last call was made makes one more.
	if len(calls) < 150 || len(calls) >= 150+concurrency || int(l.next.Load()) != len(calls) {
		t.Errorf("%d calls, counted as %d", len(calls), l.next.Load())
	}
	failed, tips := 0, 0
	for _, c := range calls {
		if c.took <= 0 {
			t.Errorf("%+v took no time", c)
		}
		if c.err != nil {
			failed++
		}
		if c.taken.attempts != 2 || c.began.IsZero() {
			t.Errorf("%+v: want 2 attempts", c)
		}
		if c.op == opTip {
			tips++
			if api.keys[c.key] != 1 {
				t.Errorf("key %q arrived %d times", c.key, api.keys[c.key])
			}
		}
	}
	if tips != len(api.keys) {
		t.Errorf("%d tips with %d keys", tips, len(api.keys))
	}
	if failed == 0 || failed != int(l.failed.Load()) {
		t.Errorf("%d failed, counted as %d", failed, l.failed.Load())
	}
}

func TestLoadGoesOnUntilThePlanIsThrough(t *testing.T) {
	server := httptest.NewServer(&fakeAPI{})
	defer server.Close()
	l := newLoad(server.URL, "run-", []operation{opGreet, opBalance})
	calls, err := l.drive(t.Context(), 1, func(ctx context.Context) error {
		for l.next.Load() < 500 {
			if err := sleepUntil(ctx, time.Now().Add(time.Millisecond)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(calls) < 500 {
		t.Errorf("%d calls, %v", len(calls), err)
	}
}

func TestLoadEndsWithThePlan(t *testing.T) {
	server := httptest.NewServer(&fakeAPI{})
	defer server.Close()
	broken := errors.New("cannot kill")
	if _, err := newLoad(server.URL, "", []operation{opGreet, opBalance}).drive(t.Context(), 1, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error = %v, want the plan's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := newLoad(server.URL, "", []operation{opGreet, opBalance}).drive(ctx, 1_000_000, func(context.Context) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}

func TestWrongAnswersAreFailures(t *testing.T) {
	for _, body := range []string{`{}`, `no JSON`, `{"message":"Hello you","instance":"one"}`, ``} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		client := newHTTPClient()
		if _, _, err := greet(t.Context(), client, server.URL); err == nil {
			t.Errorf("%q passed as a greeting", body)
		}
		if _, err := askBalance(t.Context(), client, server.URL, "kim"); err == nil {
			t.Errorf("%q passed as a balance", body)
		}
		if _, err := giveTip(t.Context(), client, server.URL, "kim", "k"); err == nil {
			t.Errorf("%q passed as the answer to a tip", body)
		}
		client.CloseIdleConnections()
		server.Close()
	}
}
