package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// BenchmarkSQL is one business transaction, which inserts a row: bare, in the
// transaction of a claim, and between the steps of a detached claim.
func BenchmarkSQL(b *testing.B) {
	b.Run("database=sqlite", func(b *testing.B) {
		file := filepath.Join(b.TempDir(), "bank.db")
		compareSQL(b, "sqlite", file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	})
	b.Run("database=mariadb", func(b *testing.B) { compareSQL(b, "mysql", servertest.StartMariaDB(b).DSN()) })
	b.Run("database=postgres", func(b *testing.B) { compareSQL(b, "pgx", servertest.StartPostgres(b).DSN()) })
}

func compareSQL(b *testing.B, driver, dsn string) {
	b.Helper()
	db, err := sql.Open(driver, dsn)
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	_, err = db.ExecContext(b.Context(), "CREATE TABLE ledger (amount INT NOT NULL)")
	must(b, err)
	transactional := newSQLStore(b, db)
	detached := newSQLStore(b, db, sqlstore.WithDetached())

	bare := func(ctx context.Context) error { return inTransaction(ctx, db, pay) }
	b.Run("transaction", func(b *testing.B) {
		before := countRows(b, db)
		calls := 0
		counting := func(next func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error {
				calls++
				return next(ctx)
			}
		}
		inTurns(b, []arm{
			{name: "bare", call: counting(bare)},
			{name: "control", call: counting(bare)},
			{name: "transactional", call: counting(func(ctx context.Context) error {
				return recorded(ctx, transactional, func(ctx context.Context) error {
					tx, _ := sqlstore.Tx(ctx)
					return pay(ctx, tx)
				})
			})},
			{name: "detached", call: counting(func(ctx context.Context) error { return recorded(ctx, detached, bare) })},
		})
		if rows := countRows(b, db) - before; rows != calls {
			b.Fatalf("%d calls wrote %d rows", calls, rows)
		}
	})
}

func newSQLStore(b *testing.B, db *sql.DB, opts ...sqlstore.Option) idempotency.Store {
	b.Helper()
	s, err := sqlstore.New(b.Context(), db, append(opts, sqlstore.WithMigrate(), sqlstore.WithSweepInterval(0))...)
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

// pay is the business write.
func pay(ctx context.Context, q sqlstore.Querier) error {
	_, err := q.ExecContext(ctx, "INSERT INTO ledger (amount) VALUES (1)")
	return err
}

func inTransaction(ctx context.Context, db *sql.DB, do func(context.Context, sqlstore.Querier) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it has failed already, or has been committed
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// record is a recorded reply of a usual size.
var record = make([]byte, 200)

// recorded does the business under a key that nobody has used, and records it.
func recorded(ctx context.Context, s idempotency.Store, do func(context.Context) error) error {
	c := idempotency.Claim{Lease: time.Hour, Timeout: time.Hour, Retention: 24 * time.Hour, ReleaseMemory: time.Hour}
	if _, err := rand.Read(c.Key[:]); err != nil {
		return err
	}
	copy(c.Owner[:], c.Key[:])
	out, err := s.Begin(ctx, c)
	if err != nil {
		return err
	}
	if out.State != idempotency.Acquired {
		return errors.New("a fresh key is " + out.State.String())
	}
	if err := do(out.Execution.Context(ctx)); err != nil {
		return err
	}
	return out.Execution.Complete(ctx, record)
}

func countRows(b *testing.B, db *sql.DB) (n int) {
	b.Helper()
	must(b, db.QueryRowContext(b.Context(), "SELECT COUNT(*) FROM ledger").Scan(&n))
	return n
}
