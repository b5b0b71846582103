package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/logtest"
)

func testUnusedTransactionIsAnError(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	outside := p.open(t)
	strict, lenient := p.instance(t, 10), p.instance(t, 10, WithTxOptional())
	invalid := &idempotency.RecordedError{Code: 400, Detail: "amount_cents: must be positive"}
	for _, c := range []struct {
		name string
		on   *instance
		work func(ctx context.Context) error
		code int32 // of the answer, 0 for a reply
	}{
		{"writes", strict, func(ctx context.Context) error { return write(ctx, outside, "writes") }, 0},
		{"reads", strict, func(ctx context.Context) error {
			tx, _ := Tx(ctx)
			var n int
			return tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM business").Scan(&n)
		}, 0},
		{"says so", strict, func(ctx context.Context) error { NoWrites(ctx); return nil }, 0},
		{"refuses", strict, func(context.Context) error { return invalid }, 400},
		{"forgets", strict, func(context.Context) error { return nil }, 500},
		{"gets it and does not use it", strict, func(ctx context.Context) error { Tx(ctx); return nil }, 500},
		{"optional", lenient, func(context.Context) error { return nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var runs atomic.Int32
			for range 2 { // the second time is a replay, whatever the answer
				reply, err := c.on.call(t.Context(), strings.ReplaceAll(c.name, " ", "-"), 0, func(ctx context.Context) error {
					runs.Add(1)
					return c.work(ctx)
				})
				var recorded *idempotency.RecordedError
				switch {
				case c.code == 0 && (err != nil || reply == ""):
					t.Errorf("reply %q, %v", reply, err)
				case c.code != 0 && (!errors.As(err, &recorded) || recorded.Code != c.code):
					t.Errorf("error %v, want code %d", err, c.code)
				case c.code == 500 && !strings.Contains(err.Error(), "write through sqlstore.Tx(ctx), or declare sqlstore.NoWrites(ctx)"):
					t.Errorf("error %q does not say what to do", err)
				}
			}
			if runs.Load() != 1 {
				t.Errorf("%d executions", runs.Load())
			}
		})
	}
}

func TestUnusedTransactionAtComplete(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	s := p.store(t)
	claim := claimFor(t, "key")
	claim.Declared = true
	out := acquire(t, s, claim)
	reply := idempotency.Record{Content: idempotency.ContentJSON, Body: []byte("{}")}.Encode()
	for range 2 {
		err := out.Execution.Complete(t.Context(), reply)
		if !errors.Is(err, ErrTxUnused) || errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("complete: %v, want ErrTxUnused", err)
		}
	}
	done := wantState(t, s, claimFor(t, "key"), idempotency.Done)
	record, err := idempotency.DecodeRecord(done.Record)
	if err != nil || record.Content != idempotency.ContentError || record.Err.Code != 500 {
		t.Errorf("record %+v, %v", record, err)
	}
}

func TestNoTransactionWithoutAKey(t *testing.T) {
	if q, ok := Tx(t.Context()); ok || q != nil {
		t.Errorf("Tx = %v, %v", q, ok)
	}
	NoWrites(t.Context()) // does nothing
	p := startBackend(t, SQLite).newPlace(t)
	transactional, detached := p.store(t), p.store(t, WithDetached())
	outer := acquire(t, transactional, claimFor(t, "outer"))
	ctx := outer.Execution.Context(t.Context())
	must(t, outer.Execution.Release(t.Context()))
	inner := acquire(t, detached, claimFor(t, "inner"))
	if _, ok := Tx(inner.Execution.Context(ctx)); ok {
		t.Error("a detached execution has the transaction of another")
	}
}

func testHandlerCannotEndItsTransaction(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	_, err := i.call(t.Context(), "key", 0, func(ctx context.Context) error {
		tx, _ := Tx(ctx)
		for _, query := range []string{
			"COMMIT", " commit;", "\n\tRollback", "BEGIN", "START TRANSACTION", "END", "abort", "ROLLBACK WORK",
			"/* traced */ COMMIT", "/**/ -- why\n# and how\n/* again */ROLLBACK", "/*!50003 COMMIT */", "/*M! COMMIT */",
			"SET autocommit = 1", "set @@session.AUTOCOMMIT=1", "PREPARE TRANSACTION 'mine'",
		} {
			if _, err := tx.ExecContext(ctx, query); !errors.Is(err, ErrTxControl) {
				t.Errorf("%q: %v", query, err)
			}
			if err := tx.QueryRowContext(ctx, query).Scan(); !errors.Is(err, ErrTxControl) {
				t.Errorf("%q: %v", query, err)
			}
		}
		for _, query := range []string{"SAVEPOINT mine", "/* why */ ROLLBACK /* what */ TO SAVEPOINT mine", "RELEASE SAVEPOINT mine"} {
			if _, err := tx.ExecContext(ctx, query); err != nil {
				t.Errorf("%q: %v", query, err)
			}
			if query == "SAVEPOINT mine" {
				must(t, write(ctx, i.db, "taken back"))
			}
		}
		return write(ctx, i.db, "kept")
	})
	must(t, err)
	wantWrites(t, i.db, "kept", 1)
	wantWrites(t, i.db, "taken back", 0)
}

func testTransactionEndsWithItsHandler(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	for name, end := range map[string]func(idempotency.Execution) error{
		"complete": func(e idempotency.Execution) error { return e.Complete(t.Context(), []byte("done")) },
		"release":  func(e idempotency.Execution) error { return e.Release(t.Context()) },
		"undo": func(e idempotency.Execution) error {
			undoer, ok := e.(idempotency.Undoer)
			if !ok {
				return fmt.Errorf("%T cannot undo", e)
			}
			return undoer.Undo(t.Context())
		},
	} {
		out := acquire(t, i.store, claimFor(t, name))
		ctx := out.Execution.Context(t.Context())
		must(t, write(ctx, i.db, name))
		tx, _ := Tx(ctx)
		must(t, end(out.Execution))
		const query = "INSERT INTO business (name, at_fence) VALUES ('late', 0)"
		_, errExec := tx.ExecContext(ctx, query)
		_, errQuery := tx.QueryContext(ctx, query)     //nolint:rowserrcheck,sqlclosecheck // an error is wanted
		_, errPrepare := tx.PrepareContext(ctx, query) //nolint:sqlclosecheck // an error is wanted
		for call, err := range map[string]error{
			"exec": errExec, "query": errQuery, "row": tx.QueryRowContext(ctx, query).Scan(), "prepare": errPrepare,
		} {
			if !errors.Is(err, sql.ErrTxDone) {
				t.Errorf("%s after %s: %v, want ErrTxDone", call, name, err)
			}
		}
		must(t, ignoreLost(out.Execution.Release(t.Context())))
	}
	wantWrites(t, i.db, "late", 0)
}

func ignoreLost(err error) error {
	if errors.Is(err, idempotency.ErrLost) {
		return nil
	}
	return err
}

// testOpenRows: rows that a handler leaves open fail the call or do not, but
// they cost no connection.
func testOpenRows(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	for n := range 10 {
		_, err := i.call(t.Context(), fmt.Sprint("key-", n), 0, func(ctx context.Context) error {
			for range 3 {
				must(t, write(ctx, i.db, "business"))
			}
			tx, _ := Tx(ctx)
			statement, err := tx.PrepareContext(ctx, "SELECT name FROM business") //nolint:sqlclosecheck // left open
			if err != nil {
				return err
			}
			rows, err := statement.QueryContext(context.WithoutCancel(ctx)) //nolint:sqlclosecheck // left open
			if err == nil && !rows.Next() {
				err = rows.Err()
			}
			return err
		})
		if err != nil && !errors.Is(err, idempotency.ErrRolledBack) {
			t.Errorf("error %v", err)
		}
		if n := i.db.Stats().InUse; n != 0 {
			t.Errorf("%d connections are in use", n)
		}
	}
}

// testIgnoredDeadlock: a handler that goes on after an error that has rolled
// its transaction back leaves nothing.
func testIgnoredDeadlock(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 10)
	must(t, execIn(t, i.db, "CREATE TABLE account (id INT PRIMARY KEY, cents INT NOT NULL)"))
	must(t, execIn(t, i.db, "INSERT INTO account VALUES (1, 0), (2, 0)"))
	var deadlocked bool
	_, err := i.call(t.Context(), "key", 5, func(ctx context.Context) error {
		tx, _ := Tx(ctx)
		must(t, write(ctx, i.db, "before"))
		deadlocked = b.deadlock(ctx, t, tx, i.db)
		for range 3 { // as if nothing had happened
			_ = write(ctx, i.db, "after")
		}
		return nil
	})
	if !deadlocked {
		t.Fatal("there was no deadlock")
	}
	if !errors.Is(err, idempotency.ErrRolledBack) {
		t.Errorf("error %v, want ErrRolledBack", err)
	}
	for _, name := range []string{"before", "after"} {
		wantWrites(t, i.db, name, 0)
	}
	again := func(ctx context.Context) error { return write(ctx, i.db, "again") }
	if _, err = i.call(t.Context(), "key", 4, again); !errors.Is(err, idempotency.ErrSuperseded) {
		t.Errorf("an earlier attempt: %v, want ErrSuperseded", err)
	}
	_, err = i.call(t.Context(), "key", 6, again)
	must(t, err)
	wantWrites(t, i.db, "again", 1)
	p.wantCleanSessions(t, i.db)
}

// deadlock makes the handler's transaction the victim of one, which is the one
// that has written less.
func (b *backend) deadlock(ctx context.Context, t *testing.T, tx Querier, db *sql.DB) bool {
	t.Helper()
	rival, err := db.BeginTx(ctx, nil)
	must(t, err)
	defer func() { _ = rival.Rollback() }()
	for range 50 {
		_, err = rival.ExecContext(ctx, "INSERT INTO business (name, at_fence) VALUES ('weight', 0)")
		must(t, err)
	}
	_, err = rival.ExecContext(ctx, "UPDATE account SET cents = 1 WHERE id = 2")
	must(t, err)
	_, err = tx.ExecContext(ctx, "UPDATE account SET cents = 2 WHERE id = 1")
	must(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		_, err := rival.ExecContext(ctx, "UPDATE account SET cents = 1 WHERE id = 1")
		if err != nil {
			t.Errorf("the rival was the victim: %v", err)
		}
	})
	// PostgreSQL kills who has waited for a second: let that be the handler.
	time.Sleep(200 * time.Millisecond)
	if set, isPg := map[Dialect]string{PostgreSQL: "SET LOCAL deadlock_timeout = '10ms'"}[b.dialect]; isPg {
		_, err = tx.ExecContext(ctx, set)
		must(t, err)
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET cents = 2 WHERE id = 2")
	group.Wait()
	var inMySQL *driver.MySQLError
	var inPostgres *pgconn.PgError
	return errors.As(err, &inMySQL) && inMySQL.Number == 1213 || errors.As(err, &inPostgres) && inPostgres.Code == "40P01"
}

// testTimeout: an execution that takes longer than the claim's Timeout is
// rolled back, and its key is free.
func testTimeout(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	s, other := p.store(t), p.store(t)
	claim := claimFor(t, "key")
	claim.Timeout = 300 * time.Millisecond
	out := acquire(t, s, claim)
	ctx := out.Execution.Context(t.Context())
	must(t, write(ctx, s.db, "too slow"))
	next := acquire(t, other, claimFor(t, "key")) // waits, and need not for long
	if err := write(ctx, s.db, "too late"); err == nil {
		t.Error("a transaction outlasted its timeout")
	}
	err := out.Execution.Complete(t.Context(), []byte("too late"))
	if !errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("complete: %v, want ErrNotApplied", err)
	}
	must(t, write(next.Execution.Context(t.Context()), s.db, "next"))
	must(t, next.Execution.Complete(t.Context(), []byte("next")))
	wantWrites(t, s.db, "", 1)
	if n := s.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// TestUnusedTransactionOfAnUndeclaredEndpoint: it succeeds, as it did without a store,
// and one warning for each endpoint names it and says what to write.
func TestUnusedTransactionOfAnUndeclaredEndpoint(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	log := new(logtest.Text)
	s := p.store(t, WithLogger(log.Logger()))
	complete := func(endpoint, key string, work func(ctx context.Context)) {
		t.Helper()
		claim := claimFor(t, key)
		claim.Scope = idempotency.Scope{Service: "bank", Endpoint: endpoint, Key: key}
		out := acquire(t, s, claim)
		work(out.Execution.Context(t.Context()))
		must(t, out.Execution.Complete(t.Context(), idempotency.Record{Content: idempotency.ContentJSON, Body: []byte("{}")}.Encode()))
		wantState(t, s, claimFor(t, key), idempotency.Done)
	}
	complete("Wallet.Read", "says-so", NoWrites)
	complete("Wallet.Look", "reads", func(ctx context.Context) {
		tx, _ := Tx(ctx)
		var n int
		must(t, tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM business").Scan(&n))
	})
	if got := log.String(); got != "" {
		t.Errorf("a warning about one who did nothing wrong: %s", got)
	}
	for n := range 3 {
		complete("Wallet.Tip", fmt.Sprint("tip-", n), func(context.Context) {})
		complete("Wallet.Pay", fmt.Sprint("pay-", n), func(ctx context.Context) { Tx(ctx) })
	}
	for _, want := range []string{"service=bank endpoint=Wallet.Tip", "service=bank endpoint=Wallet.Pay"} {
		if n := log.Count(want); n != 1 {
			t.Errorf("%d warnings with %q, want 1: %s", n, want, log.String())
		}
	}
	if n := log.Count("level=WARN"); n != 2 || log.Count("sqlstore.NoWrites(ctx)") != 2 {
		t.Errorf("%d warnings, want 2 that say what to write: %s", n, log.String())
	}
}
