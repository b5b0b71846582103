package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

func insert(ctx context.Context, q Querier, name string) error {
	_, err := q.ExecContext(ctx, "INSERT INTO business (name, at_fence) VALUES ('"+name+"', 0)")
	return err
}

// pooled runs a handler that gets its transaction as a pool.
func (i *instance) pooled(t *testing.T, key string, work func(ctx context.Context, db *sql.DB) error) error {
	t.Helper()
	_, err := i.call(t.Context(), key, 0, func(ctx context.Context) error {
		db, ok := DB(ctx)
		if !ok {
			return errors.New("no transaction")
		}
		return work(ctx, db)
	})
	return err
}

// testPoolOfOneTransaction: what is begun on the pool is a savepoint, and nothing
// of it outlasts the handler's failure.
func testPoolOfOneTransaction(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	handler := func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		kept := errors.Join(insert(ctx, tx, "kept"), tx.Commit())
		if tx, err = db.BeginTx(ctx, nil); err != nil {
			return err
		}
		undone := errors.Join(insert(ctx, tx, "undone"), tx.Rollback())
		return errors.Join(kept, undone, insert(ctx, db, "past"))
	}
	must(t, i.pooled(t, "succeeds", handler))
	errFail := errors.New("fails")
	err := i.pooled(t, "fails", func(ctx context.Context, db *sql.DB) error {
		return errors.Join(handler(ctx, db), errFail)
	})
	if !errors.Is(err, errFail) {
		t.Errorf("error %v, want the handler's", err)
	}
	for name, want := range map[string]int{"kept": 1, "undone": 0, "past": 1} {
		wantWrites(t, i.db, name, want)
	}
	if n := i.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// testPoolCannotEndIt: neither the pool nor a transaction of it can end the
// record's transaction.
func testPoolCannotEndIt(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	must(t, i.pooled(t, "key", func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
		for _, q := range []Querier{db, tx} {
			if _, err := q.ExecContext(ctx, "COMMIT"); !errors.Is(err, ErrTxControl) {
				t.Errorf("commit: %v, want ErrTxControl", err)
			}
		}
		if _, err := db.BeginTx(ctx, nil); !errors.Is(err, ErrTxOpen) {
			t.Errorf("a second transaction: %v, want ErrTxOpen", err)
		}
		if _, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable}); err == nil {
			t.Error("a transaction with an isolation level that the record's has not was begun")
		}
		return errors.Join(insert(ctx, tx, "kept"), tx.Commit())
	}))
	wantWrites(t, i.db, "kept", 1)
}

// testLeftOpen: a transaction that is not committed is not kept.
func testLeftOpen(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	var forgotten *sql.Tx
	must(t, i.pooled(t, "key", func(ctx context.Context, db *sql.DB) error {
		if err := insert(ctx, db, "kept"); err != nil {
			return err
		}
		var err error
		if forgotten, err = db.BeginTx(ctx, nil); err != nil {
			return err
		}
		return insert(ctx, forgotten, "forgotten")
	}))
	if err := forgotten.Commit(); err == nil {
		t.Error("a commit after the handler's end succeeded")
	}
	wantWrites(t, i.db, "kept", 1)
	wantWrites(t, i.db, "forgotten", 0)
}

// testMixed: what is written past a transaction is never undone in silence.
func testMixed(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	mixed := func(end func(*sql.Tx) error) error {
		return i.pooled(t, "key", func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			direct, _ := Tx(ctx)
			var n int
			must(t, direct.QueryRowContext(ctx, "SELECT COUNT(*) FROM business").Scan(&n)) // reading does no harm
			must(t, errors.Join(insert(ctx, tx, "inside"), insert(ctx, direct, "past")))
			return end(tx)
		})
	}
	err := mixed(func(tx *sql.Tx) error {
		if err := tx.Rollback(); !errors.Is(err, ErrTxMixed) {
			t.Errorf("rollback: %v, want ErrTxMixed", err)
		}
		return nil // as if nothing had happened
	})
	if !errors.Is(err, idempotency.ErrNotCommitted) || !errors.Is(err, ErrTxMixed) {
		t.Errorf("error %v, want ErrNotCommitted because of ErrTxMixed", err)
	}
	wantWrites(t, i.db, "", 0)
	must(t, mixed((*sql.Tx).Commit))
	wantWrites(t, i.db, "", 2)
}

// testRowsAmongStatements: rows that are being read are in no statement's way, and
// come complete.
func testRowsAmongStatements(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	const rows = 50
	for n := range rows {
		must(t, insert(t.Context(), i.db, fmt.Sprintf("row-%02d", n)))
	}
	must(t, i.pooled(t, "key", func(ctx context.Context, db *sql.DB) error {
		list, err := db.QueryContext(ctx, "SELECT name, at_fence FROM business ORDER BY name")
		if err != nil {
			return err
		}
		defer func() { must(t, list.Close()) }()
		types, err := list.ColumnTypes()
		if err != nil || len(types) != 2 || types[0].DatabaseTypeName() == "" {
			t.Errorf("column types %v, %v", types, err)
		}
		for n := 0; list.Next(); n++ {
			var name string
			var fence int
			if err := list.Scan(&name, &fence); err != nil || name != fmt.Sprintf("row-%02d", n) {
				t.Errorf("row %d is %q, %v", n, name, err)
			}
			if err := insert(ctx, db, "copy of "+name); err != nil {
				return err
			}
		}
		return list.Err()
	}))
	wantWrites(t, i.db, "", 2*rows)
}

func testPreparedThroughThePool(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	first, second := "?", "?"
	if b.dialect == PostgreSQL {
		first, second = "$1", "$2"
	}
	must(t, i.pooled(t, "key", func(ctx context.Context, db *sql.DB) error {
		statement, err := db.PrepareContext(ctx, "INSERT INTO business (name, at_fence) VALUES ("+first+", "+second+")")
		if err != nil {
			return err
		}
		defer func() { must(t, statement.Close()) }()
		for n := range 3 {
			if _, err := statement.ExecContext(ctx, "prepared", n); err != nil {
				return err
			}
		}
		var n int
		err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM business WHERE name = "+first, "prepared").Scan(&n)
		if n != 3 {
			t.Errorf("%d rows are seen, want 3", n)
		}
		if b.dialect == PostgreSQL && err == nil { // an argument that only its driver knows
			err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM business WHERE name = ANY($1)", []string{"prepared", "other"}).Scan(&n)
			if n != 3 {
				t.Errorf("%d rows are found in a list, want 3", n)
			}
		}
		return err
	}))
	wantWrites(t, i.db, "prepared", 3)
}

// testQueriesLeaveNothing: neither memory nor goroutines grow with the number of
// queries, whatever their contexts.
func testQueriesLeaveNothing(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	const queries = 20_000
	var most int
	var grown int64
	_, err := i.call(t.Context(), "key", 0, func(ctx context.Context) error {
		tx, _ := Tx(ctx)
		type mark struct{}
		endless, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		before := heap()
		for n := range queries {
			of := []context.Context{ctx, endless, context.WithoutCancel(ctx)}[n%3]
			var one int
			if err := tx.QueryRowContext(context.WithValue(of, mark{}, n), "SELECT 1").Scan(&one); err != nil {
				return err
			}
			if n%1000 == 0 {
				most = max(most, runtime.NumGoroutine())
			}
		}
		grown = heap() - before
		NoWrites(ctx)
		return nil
	})
	must(t, err)
	most = max(most, runtime.NumGoroutine())
	if most > 300 {
		t.Errorf("%d goroutines", most)
	}
	if perQuery := grown / queries; perQuery > 50 {
		t.Errorf("%d queries have left %d bytes, %d each", queries, grown, perQuery)
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestNewContext: a handler is tested, or run without a key, in somebody's own
// transaction.
func TestNewContext(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	db := p.open(t)
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handler := func(ctx context.Context) error {
		q, ok := Tx(ctx)
		pool, handed := DB(ctx)
		if !ok || !handed {
			return errors.New("no transaction")
		}
		return errors.Join(insert(ctx, q, "direct"), insert(ctx, pool, "pooled"))
	}
	must(t, handler(NewContext(ctx, tx)))
	must(t, tx.Rollback())
	wantWrites(t, db, "", 0)
	cancel() // closes the pool, which goleak would find
}

// testEndedByTheHandler: a handler that gets past the control of statements cannot
// make anybody believe that nothing has happened.
func testEndedByTheHandler(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	const write = "INSERT INTO business (name, at_fence) VALUES ('hidden', 0)"
	tricks := map[string][]string{"commit": {write + "; COMMIT"}, "rollback": {write + "; ROLLBACK", write}}
	if b.dialect == MySQL { // which takes one statement at a time
		tricks = map[string][]string{"commit": {write, "PREPARE trick FROM 'COMMIT'", "EXECUTE trick"}}
	}
	for trick, statements := range tricks {
		for end, failure := range map[string]error{"succeeds": nil, "fails": idempotency.NotDone(errors.New("later"))} {
			t.Run(trick+" and "+end, func(t *testing.T) {
				key := trick + "-" + end
				var runs atomic.Int32
				work := func(ctx context.Context) error {
					if runs.Add(1) > 1 {
						return nil
					}
					tx, _ := Tx(ctx)
					for _, statement := range statements {
						if _, err := tx.ExecContext(ctx, statement); err != nil {
							t.Errorf("%s: %v", statement, err)
						}
					}
					return failure
				}
				_, first := i.call(t.Context(), key, 0, work)
				_, second := i.call(t.Context(), key, 0, work)
				if runs.Load() != 1 {
					t.Errorf("%d executions, want 1", runs.Load())
				}
				if trick == "commit" && failure == nil { // all has been committed, if in two parts
					must(t, errors.Join(first, second))
					return
				}
				if first == nil {
					t.Error("the call succeeded")
				}
				if !errors.Is(second, idempotency.ErrOutcomeUnknown) {
					t.Errorf("the second call: %v, want ErrOutcomeUnknown", second)
				}
			})
		}
	}
	if n := i.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}
