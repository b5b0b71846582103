package idempotency_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// TestRerunAsksItsCalleesWithTheSameKeys: what a callee has done for the first run
// it does not do again for the second, after an end that settled nothing.
func TestRerunAsksItsCalleesWithTheSameKeys(t *testing.T) {
	for name, end := range map[string]error{
		"timeout of a callee":  &idempotency.RecordedError{Code: 408, Detail: "request timed out"},
		"callee is overloaded": &idempotency.RecordedError{Code: 429, Detail: "slow down"},
		"deadline":             context.DeadlineExceeded,
		"refused by a guard":   &handled{&idempotency.Error{Reason: idempotency.ErrUnavailable, Code: 503}},
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, k *kind) {
				var charges, receipts []string
				handler := func(ctx context.Context) error {
					for i, list := range []*[]string{&charges, &receipts} {
						endpoint := []string{"Charge", "Receipt"}[i]
						key, done, err := idempotency.CallKey(ctx, "provider", endpoint, nil, nil)
						if err != nil {
							return err
						}
						done(i == 0)
						*list = append(*list, key.Value)
					}
					if err := k.write(ctx); err != nil || len(charges) > 1 {
						return err
					}
					return end
				}
				for run, want := range []error{end, nil} {
					guard := newGuard(t, k.store) // as on another instance
					call, _ := tip("k")
					if _, err := guard.Do(t.Context(), call, handler); !errors.Is(err, want) {
						t.Errorf("run %d: %v, want %v", run+1, err, want)
					}
				}
				for _, keys := range [][]string{charges, receipts} {
					if len(keys) != 2 {
						t.Fatalf("%d calls of a callee, want 2", len(keys))
					}
					if keys[0] != keys[1] {
						t.Errorf("key %q in the first run, %q in the second", keys[0], keys[1])
					}
				}
			})
		})
	}
}

// newConstrained is a transactional store whose ledger has a constraint that is
// checked at the commit.
func newConstrained(t *testing.T) (store *sqlstore.Store, rows func() int) {
	t.Helper()
	settings := url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)"}, "_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "bank.db")+"?"+settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if store, err = sqlstore.New(t.Context(), db, sqlstore.WithMigrate()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	const schema = `CREATE TABLE account (name TEXT PRIMARY KEY);
		CREATE TABLE ledger (account TEXT REFERENCES account (name) DEFERRABLE INITIALLY DEFERRED)`
	if _, err := db.ExecContext(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return store, func() (n int) {
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
}

// TestTransactionThatCannotCommit is the handler's failure, and no refusal that
// asks for another try.
func TestTransactionThatCannotCommit(t *testing.T) {
	store, rows := newConstrained(t)
	var text strings.Builder
	var seen []idempotency.Event
	guard := newGuard(t, store, idempotency.WithLogger(slog.New(slog.NewTextHandler(&text, nil))),
		idempotency.WithHook(func(_ context.Context, e idempotency.Event) { seen = append(seen, e) }))
	w := &worker{do: func(ctx context.Context, _ int) error {
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO ledger (account) VALUES ('nobody')")
		return err
	}}
	_, err := w.call(t.Context(), guard, "k")
	if answer, ok := errors.AsType[*idempotency.Error](err); !ok || answer.Reason != idempotency.ErrNotCommitted || answer.Code != 500 {
		t.Errorf("error %v, want ErrNotCommitted, 500", err)
	}
	if n := w.runs.Load(); n != 1 {
		t.Errorf("the handler ran %d times, want 1", n)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows, want 0", n)
	}
	i := slices.IndexFunc(seen, func(e idempotency.Event) bool { return e.Kind == idempotency.EventRolledBack })
	if i < 0 {
		t.Fatalf("no event of the rollback: %+v", seen)
	}
	if cause := seen[i].Err; cause == nil || !strings.Contains(cause.Error(), "FOREIGN KEY") {
		t.Errorf("the event's cause is %v, want the constraint", cause)
	}
	if !strings.Contains(text.String(), "level=ERROR") || !strings.Contains(text.String(), "FOREIGN KEY") {
		t.Errorf("the log says %q, want the constraint as an error", &text)
	}
	unblocked := &worker{do: func(ctx context.Context, _ int) error {
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "INSERT INTO account (name) VALUES ('bob')")
		return err
	}}
	if reply, err := unblocked.call(t.Context(), guard, "k"); err != nil || reply != "run 1" {
		t.Errorf("the key is not free: %q, %v", reply, err)
	}
}
