package sqlstore_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// backend is a database server, or a folder for files, that tests share. Each
// test gets a database of its own.
type backend struct {
	dialect Dialect
	server  *servertest.Server // nil for SQLite
	number  atomic.Int32
}

func startBackend(t testing.TB, d Dialect) *backend {
	t.Helper()
	b := &backend{dialect: d}
	switch d {
	case MySQL:
		b.server = servertest.StartMariaDB(t)
	case PostgreSQL:
		b.server = servertest.StartPostgres(t)
	case SQLite:
	}
	return b
}

// place is one database, with a table for business writes.
type place struct {
	*backend
	dsn string
}

// newPlace creates a database.
func (b *backend) newPlace(t testing.TB) *place {
	t.Helper()
	name := fmt.Sprintf("test%d", b.number.Add(1))
	p := &place{backend: b}
	switch b.dialect {
	case MySQL:
		b.createDatabase(t, name)
		config, err := driver.ParseDSN(b.server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		config.DBName = name
		p.dsn = config.FormatDSN()
	case PostgreSQL:
		b.createDatabase(t, name)
		p.dsn = strings.Replace(b.server.DSN(), "/postgres?", "/"+name+"?", 1)
	case SQLite:
		p.dsn = sqliteDSN(filepath.Join(t.TempDir(), name+".db"))
	}
	must(t, execIn(t, p.open(t), "CREATE TABLE business (name VARCHAR(100) NOT NULL, at_fence INT NOT NULL)"))
	return p
}

func (b *backend) createDatabase(t testing.TB, name string) {
	t.Helper()
	db, err := sql.Open(b.driver(), b.server.DSN())
	must(t, err)
	defer func() { must(t, db.Close()) }()
	must(t, execIn(t, db, "CREATE DATABASE "+name))
}

func (b *backend) driver() string {
	return map[Dialect]string{MySQL: "mysql", PostgreSQL: "pgx", SQLite: "sqlite"}[b.dialect]
}

func sqliteDSN(path string) string {
	options := url.Values{}
	options.Add("_pragma", "busy_timeout(5000)")
	options.Add("_pragma", "journal_mode(WAL)")
	options.Add("_pragma", "synchronous(NORMAL)") // outlives a process, which is all that tests kill
	options.Add("_txlock", "immediate")
	return path + "?" + options.Encode()
}

// through returns the same place behind a proxy.
func (p *place) through(t testing.TB, address string) *place {
	t.Helper()
	return &place{backend: p.backend, dsn: strings.Replace(p.dsn, p.server.Address(), address, 1)}
}

// open opens a pool, as another process would have it.
func (p *place) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(p.driver(), p.dsn)
	must(t, err)
	db.SetMaxIdleConns(20)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// store opens a store on a pool of its own.
func (p *place) store(t testing.TB, options ...Option) *opened {
	t.Helper()
	return storeOn(t, p.open(t), options...)
}

// opened is a store, and the pool that it works on.
type opened struct {
	*Store

	db *sql.DB
}

func storeOn(t testing.TB, db *sql.DB, options ...Option) *opened {
	t.Helper()
	s, err := New(t.Context(), db, append([]Option{WithMigrate()}, options...)...)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return &opened{Store: s, db: db}
}

// write is a handler's business write: in the transaction, or without one.
func write(ctx context.Context, db *sql.DB, name string) error {
	var q Querier = db
	if tx, ok := Tx(ctx); ok {
		q = tx
	}
	_, err := q.ExecContext(ctx, "INSERT INTO business (name, at_fence) VALUES ('"+name+"', 0)")
	return err
}

// writes counts the business writes of a name, or all.
func writes(ctx context.Context, db *sql.DB, name string) (n int, err error) {
	query := "SELECT COUNT(*) FROM business"
	if name != "" {
		query += " WHERE name = '" + name + "'"
	}
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

func wantWrites(t testing.TB, db *sql.DB, name string, want int) {
	t.Helper()
	if n, err := writes(t.Context(), db, name); err != nil || n != want {
		t.Errorf("%d writes of %q have lasted, %v; want %d", n, name, err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func execIn(t testing.TB, db *sql.DB, query string) error {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query)
	return err
}

func storeKey(name string) idempotency.StoreKey { return sha256.Sum256([]byte(name)) }

// claimFor is a claim of a key by a new owner, for any length of time.
func claimFor(t testing.TB, name string) idempotency.Claim {
	t.Helper()
	c := idempotency.Claim{
		Key: storeKey(name), Instance: "host-7:4711",
		Scope: idempotency.Scope{Service: "sqlstore", Endpoint: "Wallet.Tip", Caller: "bob", Key: name},
		Lease: time.Minute, Timeout: time.Minute, Retention: time.Hour,
		ReleaseMemory: time.Hour, Wait: 30 * time.Second,
	}
	_, err := rand.Read(c.Owner[:])
	must(t, err)
	return c
}

// acquire begins and must get the key. What is left of it ends with the test.
func acquire(t testing.TB, s *opened, c idempotency.Claim) idempotency.Outcome {
	t.Helper()
	out, err := s.Begin(t.Context(), c)
	if err != nil || out.State != idempotency.Acquired {
		t.Fatalf("begin: %v, %v; want acquired", out.State, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := out.Execution.Release(ctx); err != nil && !errors.Is(err, idempotency.ErrLost) {
			t.Logf("clean up: %v", err)
		}
	})
	return out
}

func wantState(t testing.TB, s *opened, c idempotency.Claim, want idempotency.State) idempotency.Outcome {
	t.Helper()
	out, err := s.Begin(t.Context(), c)
	if err != nil || out.State != want {
		t.Fatalf("begin: %v, %v; want %v", out.State, err, want)
	}
	return out
}
