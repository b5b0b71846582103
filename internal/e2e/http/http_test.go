// Package http_test runs HTTP requests once on a transactional store, whose
// transaction the handlers write in.
package http_test

import (
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a service that writes a row for each request that it executes.
type shop struct {
	db     *sql.DB
	server *httptest.Server
	runs   atomic.Int32
	answer http.HandlerFunc
}

func startShop(t *testing.T, answer http.HandlerFunc, options ...httpguard.Option) *shop {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "shop.db")+
		"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE tip (student TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	store, err := sqlstore.New(t.Context(), db, sqlstore.WithMigrate())
	if err != nil {
		t.Fatal(err)
	}
	guard, err := idempotency.New(store, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := httpguard.New("shop", guard, options...)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{db: db, answer: answer}
	s.server = httptest.NewServer(guarded.Wrap(http.HandlerFunc(s.tip)))
	t.Cleanup(func() {
		s.server.Client().CloseIdleConnections()
		s.server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *shop) tip(w http.ResponseWriter, r *http.Request) {
	s.runs.Add(1)
	tx, ok := sqlstore.Tx(r.Context())
	if !ok {
		http.Error(w, "no transaction", http.StatusNotImplemented)
		return
	}
	if _, err := tx.ExecContext(r.Context(), "INSERT INTO tip (student) VALUES ('ann')"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.answer(w, r)
}

// send sends the request, and returns the status and the body.
func (s *shop) send(t *testing.T) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL+"/tips", strings.NewReader("five cents"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", "k")
	response, err := s.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(body)
}

func (s *shop) rows(t *testing.T) (n int) {
	t.Helper()
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tip").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWritesAndTheirRecord: what a handler wrote is there if and only if the
// response that says so is recorded.
func TestWritesAndTheirRecord(t *testing.T) {
	keep := httpguard.WithMark(func(e *httpguard.ResponseError) error {
		if e.StatusCode() == http.StatusPaymentRequired {
			return idempotency.FinalKeepWrites(e)
		}
		return e
	})
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, "answer")
		}
	}
	for _, test := range []struct {
		name       string
		answer     http.HandlerFunc
		options    []httpguard.Option
		runs, rows int
		first      int
		second     int
	}{
		{"success", status(201), nil, 1, 1, 201, 201},
		{"final error", status(409), nil, 1, 0, 409, 409},
		{"declined, and its row stays", status(402), []httpguard.Option{keep}, 1, 1, 402, 402},
		{"failed", status(500), nil, 2, 0, 500, 500},
		{"busy", status(503), nil, 2, 0, 503, 503},
		{"panicked", func(http.ResponseWriter, *http.Request) { panic("x") }, nil, 2, 0, 500, 500},
		{"streamed", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "answer")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}, nil, 1, 1, 200, 410},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startShop(t, test.answer, test.options...)
			first, body := s.send(t)
			second, again := s.send(t)
			if first != test.first || second != test.second {
				t.Errorf("statuses %d and %d, want %d and %d", first, second, test.first, test.second)
			}
			if first == second && first != 500 && body != again {
				t.Errorf("bodies %q and %q", body, again)
			}
			if got := int(s.runs.Load()); got != test.runs {
				t.Errorf("%d executions, want %d", got, test.runs)
			}
			if got := s.rows(t); got != test.rows {
				t.Errorf("%d rows, want %d", got, test.rows)
			}
		})
	}
}
