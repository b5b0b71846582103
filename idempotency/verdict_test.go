package idempotency_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
					guard, _ := newGuard(t, k.store) // as on another instance
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

// TestHandlerThatWasCutOff: that something in it ended for lack of time says
// nothing when the whole of it did. What is recorded then does not ask to be asked
// again.
func TestHandlerThatWasCutOff(t *testing.T) {
	busy := &idempotency.RecordedError{ID: "bank", Code: 408, Detail: "timed out", Status: "Request Timeout"}
	for _, test := range []struct {
		name string
		end  func(ctx context.Context) error
		runs int // of two calls, on a detached store
		code int // where recorded
	}{
		{"its context", func(ctx context.Context) error { return ctx.Err() }, 1, 500},
		{"a callee's timeout", func(context.Context) error { return busy }, 1, 500},
		{"an answer all the same", func(context.Context) error { return &idempotency.RecordedError{Code: 402} }, 1, 402},
		{"final, whatever it is", func(context.Context) error { return idempotency.Final(busy) }, 1, 408},
		{"not done", func(context.Context) error { return idempotency.NotDone(busy) }, 2, 408},
		{"a callee that still runs", func(context.Context) error {
			return &handled{&idempotency.Error{Reason: idempotency.ErrWaitTimeout, Code: 408}}
		}, 2, 408},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard, _ := newGuard(t, newStore(t), idempotency.WithExecutionTimeout(3*time.Second))
				w := &worker{do: func(ctx context.Context, _ int) error {
					<-ctx.Done()
					return test.end(ctx)
				}}
				for i := range 2 {
					_, _, err := w.call(t.Context(), guard, "k")
					if got := codeOf(err); got != test.code {
						t.Errorf("call %d: code %d, want %d (%v)", i+1, got, test.code, err)
					}
				}
				w.want(t, test.runs)
			})
		})
	}
	t.Run("transactional", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			guard, _ := newGuard(t, transactional{newStore(t)}, idempotency.WithExecutionTimeout(3*time.Second))
			w := &worker{do: func(ctx context.Context, _ int) error {
				<-ctx.Done()
				return ctx.Err()
			}}
			for range 2 {
				if _, _, err := w.call(t.Context(), guard, "k"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			}
			w.want(t, 2)
		})
	})
}

func codeOf(err error) int {
	var coded interface{ StatusCode() int }
	if !errors.As(err, &coded) {
		return 500
	}
	return coded.StatusCode()
}

// TestLostLeaseAndAFinalError: a handler that says it is final is believed, as one
// that succeeds is.
func TestLostLeaseAndAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poor := &idempotency.RecordedError{Code: 402, Detail: "not enough"}
		store := newStore(t)
		guard, seen := newGuard(t, cutRenewals(store))
		elsewhere, _ := newGuard(t, store)
		w := &worker{do: func(context.Context, int) error {
			time.Sleep(15 * time.Second)
			return idempotency.Final(poor)
		}}
		for _, g := range []*idempotency.Guard{guard, elsewhere} {
			if _, _, err := w.call(t.Context(), g, "k"); codeOf(err) != 402 {
				t.Errorf("error %v, want the 402", err)
			}
		}
		w.want(t, 1)
		if seen.count(idempotency.EventStoreFailed) == 0 {
			t.Error("the renewals that failed were not reported")
		}
	})
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
	guard, seen := newGuard(t, store, logTo(&text))
	w := &worker{do: func(ctx context.Context, _ int) error {
		tx, ok := sqlstore.Tx(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO ledger (account) VALUES ('nobody')")
		return err
	}}
	_, _, err := w.call(t.Context(), guard, "k")
	wantError(t, err, idempotency.ErrNotCommitted, 500, true)
	w.want(t, 1)
	if n := rows(); n != 0 {
		t.Errorf("%d rows, want 0", n)
	}
	i := slices.IndexFunc(seen.list, func(e idempotency.Event) bool { return e.Kind == idempotency.EventRolledBack })
	if i < 0 {
		t.Fatalf("no event of the rollback: %+v", seen.list)
	}
	if cause := seen.list[i].Err; cause == nil || !strings.Contains(cause.Error(), "FOREIGN KEY") {
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
	if reply, _, err := unblocked.call(t.Context(), guard, "k"); err != nil || reply != "run 1" {
		t.Errorf("the key is not free: %q, %v", reply, err)
	}
}
