package httpguard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
)

// shop serves tips, and tells what became of them.
func shop(m *httpguard.Middleware, tip http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /tips", m.Wrap(tip))
	mux.Handle("GET /tips", m.Outcome(http.MethodPost))
	return mux
}

func TestOutcome(t *testing.T) {
	for _, test := range []struct {
		name     string
		tip      http.HandlerFunc
		status   int
		recorded string
		body     string
		problem  string
	}{
		{"created", created, 200, "201", `{"echo":"x"}`, ""},
		{"declined", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no money", http.StatusPaymentRequired) }, 200, "402", "no money\n", ""},
		{"failed", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }, 200, "500", "no\n", ""},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }, 404, "", "", "not-executed"},
		{"panicked", func(http.ResponseWriter, *http.Request) { panic("secret") }, 410, "", "", "not-kept"},
		{"streamed", func(w http.ResponseWriter, _ *http.Request) { flush(w) }, 410, "", "", "not-kept"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, shop(newMiddleware(t, newGuard(t)), test.tip))
			before := send(t, server, "GET", "/tips", "k", "")
			if before.StatusCode != http.StatusNotFound {
				t.Errorf("before: status %d, want 404", before.StatusCode)
			}
			wantProblem(t, before, "not-executed")
			send(t, server, "POST", "/tips", "k", "x")
			for range 2 {
				after := send(t, server, "GET", "/tips", `"k"`, "")
				if after.StatusCode != test.status || after.Header.Get(httpguard.HeaderStatus) != test.recorded {
					t.Errorf("status %d, recorded %q, want %d and %q", after.StatusCode, after.Header.Get(httpguard.HeaderStatus), test.status, test.recorded)
				}
				if test.problem != "" {
					wantProblem(t, after, test.problem)
				} else if after.body != test.body {
					t.Errorf("body %q, want %q", after.body, test.body)
				}
			}
		})
	}
}

func TestOutcomeOfWhatRuns(t *testing.T) {
	running, release := make(chan struct{}), make(chan struct{})
	server := serve(t, shop(newMiddleware(t, newGuard(t)), func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-release
		created(w, r)
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := trySend(t, server, "POST", "/tips", "k", "x"); err != nil {
			t.Error(err)
		}
	}()
	<-running
	a := send(t, server, "GET", "/tips", "k", "")
	close(release)
	<-done
	if a.StatusCode != http.StatusConflict || a.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q, want 409 and some", a.StatusCode, a.Header.Get("Retry-After"))
	}
	wantProblem(t, a, "running")
}

// TestOutcomeUnknown of an execution whose process has died.
func TestOutcomeUnknown(t *testing.T) {
	store := newStore(t)
	guard, err := idempotency.New(store)
	if err != nil {
		t.Fatal(err)
	}
	scope := idempotency.Scope{Service: "shop", Endpoint: "POST /tips", Key: "k"}
	if _, err := store.Begin(t.Context(), idempotency.Claim{
		Key: scope.StoreKey(), Owner: idempotency.Owner{1}, Lease: 1, Timeout: time.Second, Retention: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	server := serve(t, shop(newMiddleware(t, guard), created))
	a := send(t, server, "GET", "/tips", "k", "")
	if a.StatusCode != http.StatusConflict {
		t.Errorf("status %d, want 409", a.StatusCode)
	}
	wantProblem(t, a, "outcome-unknown")
}

// storeThatKeepsSilent is a store whose contents cannot be looked at.
type storeThatKeepsSilent struct{ idempotency.Store }

// storeThatIsDown cannot be asked.
type storeThatIsDown struct {
	idempotency.Store
	idempotency.Inspector
}

func (storeThatIsDown) Lookup(context.Context, idempotency.StoreKey) (idempotency.Entry, error) {
	return idempotency.Entry{}, errors.New("dial tcp 10.0.0.7: connection refused")
}

func TestOutcomeNotTold(t *testing.T) {
	for _, test := range []struct {
		name   string
		store  idempotency.Store
		key    string
		status int
		kind   string
	}{
		{"no inspector", storeThatKeepsSilent{newStore(t)}, "k", 501, "not-told"},
		{"store down", storeThatIsDown{newStore(t), newStore(t)}, "k", 503, "not-told"},
		{"no key", newStore(t), "", 400, "bad-key"},
		{"malformed key", newStore(t), "a b", 400, "bad-key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			guard, err := idempotency.New(test.store)
			if err != nil {
				t.Fatal(err)
			}
			a := send(t, serve(t, shop(newMiddleware(t, guard), created)), "GET", "/tips", test.key, "")
			if a.StatusCode != test.status {
				t.Errorf("status %d, want %d", a.StatusCode, test.status)
			}
			wantProblem(t, a, test.kind)
		})
	}
}

// TestOutcomeIsTheCallersOwn: nobody learns of another's request.
func TestOutcomeIsTheCallersOwn(t *testing.T) {
	caller := httpguard.WithCaller(func(r *http.Request) (string, error) { return r.Header.Get("Authorization"), nil })
	server := serve(t, shop(newMiddleware(t, newGuard(t), caller), created))
	send(t, server, "POST", "/tips", "k", "x", "Authorization", "ann")
	for name, want := range map[string]int{"ann": 200, "bob": 404} {
		if a := send(t, server, "GET", "/tips", "k", "", "Authorization", name); a.StatusCode != want {
			t.Errorf("%s: status %d, want %d", name, a.StatusCode, want)
		}
	}
}

// TestMarks: what a handler of this kind cannot say, the service can.
func TestMarks(t *testing.T) {
	for _, test := range []struct {
		status int
		mark   func(error) error
		runs   int32
	}{
		{402, idempotency.NotDone, 2},
		{503, idempotency.Final, 1},
		{402, idempotency.FinalKeepWrites, 1},
		{402, func(error) error { return nil }, 1},
	} {
		t.Run(fmt.Sprint(test.status, test.runs), func(t *testing.T) {
			var runs atomic.Int32
			mark := httpguard.WithMark(func(e *httpguard.ResponseError) error { return test.mark(e) })
			server := serve(t, newMiddleware(t, newGuard(t), mark).Wrap(counting(&runs, func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "because", test.status)
			})))
			for range 2 {
				if a := send(t, server, "POST", "/tips", "k", "x"); a.StatusCode != test.status || a.body != "because\n" {
					t.Errorf("%d %q", a.StatusCode, a.body)
				}
			}
			if runs.Load() != test.runs {
				t.Errorf("%d executions, want %d", runs.Load(), test.runs)
			}
		})
	}
}
