package httpguard_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t testing.TB) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// newGuard returns a guard with a memory of its own.
func newGuard(t testing.TB, settings ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	quiet := idempotency.WithLogger(slog.New(slog.DiscardHandler))
	guard, err := idempotency.New(newStore(t), append([]idempotency.Option{quiet}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// newMiddleware returns a middleware of the service shop.
func newMiddleware(t testing.TB, guard *idempotency.Guard, options ...httpguard.Option) *httpguard.Middleware {
	t.Helper()
	m, err := httpguard.New("shop", guard, options...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// serve starts a server, which stops when the test ends.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Client().CloseIdleConnections()
		server.Close()
	})
	return server
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
	err  error // of the reading
}

// send sends a request with a key, if there is one, and more headers in pairs.
func send(t testing.TB, server *httptest.Server, method, path, key, body string, header ...string) answer {
	t.Helper()
	a, err := trySend(t, server, method, path, key, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func trySend(t testing.TB, server *httptest.Server, method, path, key, body string, header ...string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set(idempotency.HeaderKey, key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := server.Client().Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	text, err := io.ReadAll(response.Body)
	return answer{response, string(text), err}, nil
}

// replayed tells whether the answer says that it is a replay.
func (a answer) replayed() bool { return a.Header.Get(idempotency.HeaderReplayed) == "true" }

// What a handler gets has these methods, or the test panics.
func flush(w http.ResponseWriter)                  { mustBe[http.Flusher](w).Flush() }
func hijacker(w http.ResponseWriter) http.Hijacker { return mustBe[http.Hijacker](w) }
func pusher(w http.ResponseWriter) http.Pusher     { return mustBe[http.Pusher](w) }

func mustBe[T any](v any) T {
	is, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("a %T is no %T", v, &is))
	}
	return is
}
