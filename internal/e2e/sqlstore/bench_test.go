package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// One server for each kind of database; what is compared runs side by side.
func BenchmarkMySQL(b *testing.B)      { benchmark(b, MySQL) }
func BenchmarkPostgreSQL(b *testing.B) { benchmark(b, PostgreSQL) }
func BenchmarkSQLite(b *testing.B)     { benchmark(b, SQLite) }

// benchmark compares first calls with the bare business transaction, and
// replays with the bare look at a row, alone and with 8 clients at once.
func benchmark(b *testing.B, d Dialect) {
	p := startBackend(b, d).newPlace(b)
	db := p.open(b)
	db.SetMaxOpenConns(40)
	db.SetMaxIdleConns(40)
	s := storeOn(b, db, WithSweepInterval(0))
	detached := storeOn(b, db, WithSweepInterval(0), WithDetached())
	cached := storeOn(b, db, WithSweepInterval(0), WithCache(&front{}))
	var number atomic.Int64
	fresh := func() idempotency.Claim { return claimFor(b, fmt.Sprint("key-", number.Add(1))) }
	for _, c := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"First/Bare", func(ctx context.Context) error { return bareTransaction(ctx, db) }},
		{"First/Transactional", func(ctx context.Context) error { return executeOnce(ctx, s, fresh(), "business") }},
		{"First/Detached", func(ctx context.Context) error { return executeDetached(ctx, detached, fresh()) }},
		{"Replay/Bare", func(ctx context.Context) error { return bareLook(ctx, db, d, replayed) }},
		{"Replay/Transactional", func(ctx context.Context) error { return replay(ctx, s, replayed) }},
		{"Replay/Detached", func(ctx context.Context) error { return replay(ctx, detached, replayed) }},
		{"Replay/Cached", func(ctx context.Context) error { return replay(ctx, cached, replayed) }},
	} {
		for _, clients := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/clients=%d", c.name, clients), func(b *testing.B) {
				out, err := s.Begin(b.Context(), claimFor(b, replayed))
				must(b, err)
				if out.State == idempotency.Acquired {
					NoWrites(out.Execution.Context(b.Context()))
					must(b, out.Execution.Complete(b.Context(), []byte("record")))
				}
				b.ReportAllocs()
				run(b, clients, c.run)
			})
		}
	}
}

const replayed = "replayed"

// run divides b.N runs among clients.
func run(b *testing.B, clients int, one func(ctx context.Context) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	failed := make(chan error, clients)
	b.ResetTimer()
	for range clients {
		go func() {
			for left.Add(-1) >= 0 {
				if err := one(b.Context()); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range clients {
		must(b, <-failed)
	}
}

func bareTransaction(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO business (name, at_fence) VALUES ('bare', 0)"); err != nil {
		return err
	}
	return tx.Commit()
}

func executeDetached(ctx context.Context, s *opened, c idempotency.Claim) error {
	out, err := s.Begin(ctx, c)
	if err != nil {
		return err
	}
	if err := bareTransaction(ctx, s.db); err != nil {
		return err
	}
	return out.Execution.Complete(ctx, []byte("record"))
}

func bareLook(ctx context.Context, db *sql.DB, d Dialect, name string) error {
	key := storeKey(name)
	var record []byte
	query := "SELECT record FROM oncemore_record WHERE store_key = ?"
	if d == PostgreSQL {
		query = "SELECT record FROM oncemore_record WHERE store_key = $1"
	}
	return db.QueryRowContext(ctx, query, key[:]).Scan(&record)
}

func replay(ctx context.Context, s *opened, name string) error {
	out, err := s.Begin(ctx, idempotency.Claim{Key: storeKey(name), Timeout: time.Minute, Retention: time.Hour})
	if err == nil && out.State != idempotency.Done {
		err = fmt.Errorf("outcome %v", out.State)
	}
	return err
}
