package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// testMigrateAtOnce starts many instances on an empty database.
func testMigrateAtOnce(t *testing.T, b *backend) {
	t.Helper()
	migrateAtOnce(t, b.newPlace(t))
}

func migrateAtOnce(t *testing.T, p *place) {
	t.Helper()
	const instances = 12
	ids := make([]string, instances)
	var group sync.WaitGroup
	for n := range instances {
		db := p.open(t)
		group.Go(func() {
			s, err := New(t.Context(), db, WithMigrate())
			if err != nil {
				t.Errorf("new: %v", err)
				return
			}
			defer func() { must(t, s.Close()) }()
			if ids[n], err = s.ID(t.Context()); err != nil || len(ids[n]) != 32 {
				t.Errorf("id %q, %v", ids[n], err)
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("ids %q and %q in one database", ids[0], id)
		}
	}
	db := p.open(t)
	must(t, Migrate(t.Context(), db)) // again does nothing
	var version string
	must(t, db.QueryRowContext(t.Context(), "SELECT value FROM oncemore_meta WHERE name = 'revision'").Scan(&version))
	if version != "2" {
		t.Errorf("version %s, want 2", version)
	}
}

// testLittlePrivilege: a user who may not create tables cannot migrate, which
// leaves nothing behind, and opens the store with WithMigrate once the tables
// are there.
func testLittlePrivilege(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	owner := p.open(t)
	little := &place{backend: b}
	var grant, leftovers string
	switch b.dialect {
	case SQLite: // has no users
	case MySQL:
		little.dsn = strings.Replace(p.dsn, "root@", "little@", 1)
		grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON * TO little@'%'"
		must(t, execIn(t, owner, "CREATE USER little@'%'"))
		leftovers = `SELECT IS_FREE_LOCK(CONCAT('oncemore/', LEFT(SHA2(DATABASE(), 256), 40))) = 0`
	case PostgreSQL:
		little.dsn = strings.Replace(p.dsn, "postgres@", "little@", 1)
		grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO little"
		must(t, execIn(t, owner, "CREATE USER little"))
		leftovers = `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database =
			(SELECT oid FROM pg_database WHERE datname = current_database()))
			OR EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'little' AND state LIKE 'idle in transaction%')`
	}
	must(t, execIn(t, owner, grant))
	db := little.open(t)
	db.SetMaxOpenConns(2)
	if _, err := New(t.Context(), db, WithMigrate()); err == nil || !strings.Contains(err.Error(), "denied") {
		t.Errorf("new: %v, want a denial", err)
	}
	var left bool
	must(t, owner.QueryRowContext(t.Context(), leftovers).Scan(&left))
	if left {
		t.Error("a migration that failed has left a lock or a transaction")
	}
	must(t, Migrate(t.Context(), owner))
	must(t, execIn(t, owner, grant))
	s := storeOn(t, db) // with WithMigrate
	out := acquire(t, s, claimFor(t, "key"))
	must(t, write(out.Execution.Context(t.Context()), db, "business"))
	must(t, out.Execution.Complete(t.Context(), []byte("record")))
	wantState(t, s, claimFor(t, "key"), idempotency.Done)
	_, err := s.Sweep(t.Context())
	must(t, err)
}

func testNew(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	db := p.open(t)
	wantError := func(what, text string, db *sql.DB, options ...Option) {
		t.Helper()
		s, err := New(t.Context(), db, options...)
		if err == nil {
			must(t, s.Close())
		}
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one that says %q", what, err, text)
		}
	}
	wantError("no tables", "create the tables with Migrate or WithMigrate", db)
	narrow := p.open(t)
	narrow.SetMaxOpenConns(1)
	wantError("narrow pool", "the pool has 1 connection", narrow, WithMigrate())
	must(t, storeOn(t, narrow, WithDetached(), WithDialect(b.dialect)).Close())

	must(t, execIn(t, db, "UPDATE oncemore_meta SET value = '1' WHERE name = 'revision'"))
	wantError("old tables", "of version 1 of 2; upgrade them", db)
	must(t, execIn(t, db, "UPDATE oncemore_meta SET value = '9' WHERE name = 'schema'"))
	wantError("new tables", "of version 9, and this program knows 2; run a newer one", db)
	wantError("new tables, to be migrated", "run a newer one", db, WithMigrate())
	must(t, execIn(t, db, "UPDATE oncemore_meta SET value = '1' WHERE name = 'schema'"))
	must(t, execIn(t, db, "UPDATE oncemore_meta SET value = '2' WHERE name = 'revision'"))
	must(t, execIn(t, db, "DELETE FROM oncemore_meta WHERE name = 'id'"))
	wantError("no id", "has no id; run Migrate", db)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, db, WithMigrate()); err == nil {
		t.Error("New succeeded under a cancelled context")
	}
	s := p.store(t, WithSweepInterval(time.Hour))
	must(t, s.Close())
	must(t, s.Close())
}

func TestNewRefuses(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	db := p.open(t)
	for want, options := range map[string][]Option{
		"sqlstore: option 0 is nil":                     {nil},
		"sqlstore: WithDialect(Dialect(9)): must be":    {WithDialect(9)},
		"sqlstore: WithCache(nil): must be":             {WithCache(nil)},
		"sqlstore: WithMaxWaiters(0): must be at":       {WithMaxWaiters(0)},
		"sqlstore: WithMaxWaiters() with WithDetached(": {WithDetached(), WithMaxWaiters(3)},
		"sqlstore: WithTxOptional() with WithDetached(": {WithTxOptional(), WithDetached()},
		"sqlstore: WithSweepInterval(-1ns): must be":    {WithSweepInterval(-1)},
		"sqlstore: WithLogger(nil): must be":            {WithLogger(nil)},
		"sqlstore: WithDialect(MySQL): must be SQLite":  {WithDialect(MySQL)},
		"sqlstore: WithDialect(PostgreSQL): must be SQ": {WithDialect(PostgreSQL)},
	} {
		if _, err := New(t.Context(), db, options...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := New(t.Context(), nil); err == nil {
		t.Error("New(nil) succeeded")
	}
	if err := Migrate(t.Context(), nil); err == nil {
		t.Error("Migrate(nil) succeeded")
	}
	if err := Migrate(t.Context(), db, WithMaxWaiters(0)); err == nil {
		t.Error("Migrate with a wrong option succeeded")
	}
}

func TestNewChecksSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store.db")
	for dsn, want := range map[string]string{
		":memory:": "journal_mode is memory; open a file with _pragma=journal_mode(WAL)",
		file:       "journal_mode is delete",
		filepath.Join(t.TempDir(), "wal.db") + "?_pragma=journal_mode(WAL)": "busy_timeout is 0; open the file with _pragma=busy_timeout(5000)",
	} {
		db, err := sql.Open("sqlite", dsn)
		must(t, err)
		if _, err := New(t.Context(), db, WithMigrate()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", dsn, err, want)
		}
		must(t, db.Close())
	}
}

// TestSQLiteWithoutImmediate: transactions that begin without the write lock
// take it with the claim.
func TestSQLiteWithoutImmediate(t *testing.T) {
	b := startBackend(t, SQLite)
	p := b.newPlace(t)
	p.dsn = strings.Replace(p.dsn, "_txlock=immediate", "_txlock=deferred", 1)
	i, other := p.instance(t, 10), p.instance(t, 10)
	var group sync.WaitGroup
	for n := range 200 {
		key, on := fmt.Sprint("key-", n%20), i
		if n%2 == 0 {
			on = other
		}
		group.Go(func() {
			_, err := on.call(t.Context(), key, 0, func(ctx context.Context) error { return write(ctx, on.db, key) })
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
		})
	}
	group.Wait()
	wantWrites(t, i.db, "", 20)
}

func TestNewNamesAServerThatIsNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	for name, dsn := range map[string]string{
		"mysql": "root@tcp(" + address + ")/test", "pgx": "postgres://postgres@" + address + "/test",
	} {
		db, err := sql.Open(name, dsn)
		must(t, err)
		_, err = New(t.Context(), db)
		if err == nil || !strings.HasPrefix(err.Error(), "sqlstore: reach the database: ") || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: error %v", name, err)
		}
		must(t, db.Close())
	}
}

func TestDamagedRow(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	for name, s := range map[string]*opened{"transactional": p.store(t), "detached": p.store(t, WithDetached())} {
		out := acquire(t, s, claimFor(t, name))
		if out.Transactional {
			NoWrites(out.Execution.Context(t.Context()))
		}
		must(t, out.Execution.Complete(t.Context(), []byte("record")))
		must(t, execIn(t, s.db, "UPDATE oncemore_record SET owner = x'00'"))
		_, err := s.Begin(t.Context(), claimFor(t, name))
		if err == nil || !strings.Contains(err.Error(), "damaged: store_key "+claimFor(t, name).Key.String()) {
			t.Errorf("%s: error %v", name, err)
		}
		must(t, execIn(t, s.db, "DELETE FROM oncemore_record"))
	}
}

// TestModesShareATable: what one mode has claimed or recorded, the other
// respects.
func TestModesShareATable(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	transactional, detached := p.store(t), p.store(t, WithDetached())
	here, err := transactional.ID(t.Context())
	must(t, err)
	there, err := detached.ID(t.Context())
	must(t, err)
	if here != there || here == "" {
		t.Errorf("ids %q and %q", here, there)
	}
	out := acquire(t, detached, claimFor(t, "key"))
	next := claimFor(t, "key")
	next.Wait = 0
	wantState(t, transactional, next, idempotency.Running)
	must(t, execIn(t, detached.db, "UPDATE oncemore_record SET lease_until = 0"))
	wantState(t, transactional, next, idempotency.Orphaned)
	must(t, out.Execution.Complete(t.Context(), []byte("record")))
	wantState(t, transactional, next, idempotency.Done)
}
