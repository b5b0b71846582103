package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// testNeverCommits: a transaction that would fail for ever is the handler's failure,
// and leaves nothing; it is not for the caller to repeat.
func testNeverCommits(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	if b.dialect == SQLite {
		p.dsn += "&_pragma=foreign_keys(1)"
	}
	i := p.instance(t, 4)
	for name, statements := range neverCommits(b.dialect) {
		t.Run(name, func(t *testing.T) {
			name := strings.ReplaceAll(name, " ", "-")
			var runs atomic.Int32
			_, err := i.call(t.Context(), name, 0, func(ctx context.Context) error {
				runs.Add(1)
				tx, _ := Tx(ctx)
				must(t, write(ctx, i.db, name))
				for _, statement := range statements {
					_, _ = tx.ExecContext(ctx, statement) // a handler that ignores what it is told
				}
				return nil
			})
			if !errors.Is(err, idempotency.ErrNotCommitted) {
				t.Errorf("error %v, want ErrNotCommitted", err)
			}
			if runs.Load() != 1 {
				t.Errorf("%d executions, want 1", runs.Load())
			}
			wantWrites(t, i.db, name, 0)
			_, err = i.call(t.Context(), name, 0, func(ctx context.Context) error { return write(ctx, i.db, name) })
			must(t, err) // the key is free
			wantWrites(t, i.db, name, 1)
		})
	}
	if n := i.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

// neverCommits are statements after which a transaction cannot commit, or the record
// cannot be written in it.
func neverCommits(d Dialect) map[string][]string {
	return map[Dialect]map[string][]string{
		PostgreSQL: {
			"deferred constraint": {
				"CREATE TABLE parent (id int PRIMARY KEY)",
				"CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
				"INSERT INTO child VALUES (7)",
			},
			"ignored error":   {"INSERT INTO nothing VALUES (1)"},
			"table gone":      {"DROP TABLE oncemore_record"},
			"row gone":        {"DELETE FROM oncemore_record"},
			"permission lost": {"REVOKE UPDATE ON oncemore_record FROM postgres", "ALTER ROLE postgres NOSUPERUSER"},
		},
		SQLite: {
			"deferred constraint": {
				"CREATE TABLE parent (id INTEGER PRIMARY KEY)",
				"CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
				"INSERT INTO child VALUES (7)",
			},
			"table gone": {"DROP TABLE oncemore_record"},
			"row gone":   {"DELETE FROM oncemore_record"},
		},
		MySQL: {"row gone": {"DELETE FROM oncemore_record"}},
	}[d]
}

// testOneCacheForTwoDatabases: one front before two tenants' databases, of which one
// is a copy of the other, gives nobody another's record.
func testOneCacheForTwoDatabases(t *testing.T, b *backend) {
	t.Helper()
	shared := &front{}
	var id string
	for n := range 3 {
		i := b.newPlace(t).instance(t, 4, WithCache(shared), WithTxOptional())
		if n == 0 {
			must(t, i.db.QueryRowContext(t.Context(), "SELECT value FROM oncemore_meta WHERE name = 'id'").Scan(&id))
		}
		tenant := fmt.Sprint("tenant-", n)
		if n == 2 { // a copy
			must(t, execIn(t, i.db, "UPDATE oncemore_meta SET value = '"+id+"' WHERE name = 'id'"))
			i.store = storeOn(t, i.db, WithCache(shared))
		}
		out, err := i.store.Begin(t.Context(), claimFor(t, "key"))
		must(t, err)
		if out.State != idempotency.Acquired {
			t.Fatalf("%s is answered with %q", tenant, out.Record)
		}
		must(t, write(out.Execution.Context(t.Context()), i.db, tenant))
		must(t, out.Execution.Complete(t.Context(), []byte(tenant)))
		done := wantState(t, i.store, claimFor(t, "key"), idempotency.Done)
		if string(done.Record) != tenant {
			t.Errorf("record %q, want %q", done.Record, tenant)
		}
		wantWrites(t, i.db, tenant, 1)
	}
}

// testResolvedInFrontToo: what an operator resolves is not answered from the cache.
func testResolvedInFrontToo(t *testing.T, b *backend) {
	t.Helper()
	s := b.newPlace(t).store(t, WithCache(&front{}))
	claim := claimFor(t, "key")
	out := acquire(t, s, claim)
	must(t, write(out.Execution.Context(t.Context()), s.db, "business"))
	must(t, out.Execution.Complete(t.Context(), []byte("wrong")))
	wantState(t, s, claimFor(t, "key"), idempotency.Done)
	e, err := s.Lookup(t.Context(), claim.Key)
	must(t, err)
	must(t, s.Resolve(t.Context(), idempotency.Resolution{
		Key: claim.Key, Seen: e.Seen(), Owner: claimFor(t, "operator").Owner, Record: []byte("right"), Retention: claim.Retention,
	}))
	if done := wantState(t, s, claimFor(t, "key"), idempotency.Done); string(done.Record) != "right" {
		t.Errorf("record %q, want %q", done.Record, "right")
	}
}

// testRoomInThePool: more handlers than the pool has connections, which also read
// through the pool, get in nobody's way.
func testRoomInThePool(t *testing.T, b *backend) {
	t.Helper()
	i := b.newPlace(t).instance(t, 4)
	const handlers = 8
	errs := make(chan error, handlers)
	for n := range handlers {
		key := fmt.Sprint("key-", n)
		go func() {
			_, err := i.call(t.Context(), key, 0, func(ctx context.Context) error {
				for range 5 {
					if _, err := writes(ctx, i.db, ""); err != nil { // on another connection
						return err
					}
				}
				return write(ctx, i.db, key)
			})
			errs <- err
		}()
	}
	for range handlers {
		must(t, <-errs)
	}
	wantWrites(t, i.db, "", handlers)
}

// testWhereTheTablesAre: stores with prefixes of their own share a schema, and a
// store may be in a schema that is not the connection's.
func testWhereTheTablesAre(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	db := p.open(t)
	a, other := storeOn(t, db, WithTablePrefix("shop_a_")), storeOn(t, db, WithTablePrefix("shop_B_"))
	stores := []*opened{a, other, storeOn(t, db)}
	if create := map[Dialect]string{MySQL: "CREATE DATABASE `else-where?`", PostgreSQL: `CREATE SCHEMA "else-where?"`}[b.dialect]; create != "" {
		must(t, execIn(t, db, create))
		stores = append(stores, storeOn(t, db, WithSchema("else-where?")), storeOn(t, db, WithSchema("else-where?"), WithTablePrefix("shop_")))
	} else if _, err := New(t.Context(), db, WithSchema("main")); err == nil || !strings.Contains(err.Error(), "SQLite has no schemas") {
		t.Errorf("a schema of SQLite: %v", err)
	}
	ids := make(map[string]bool)
	for n, s := range stores {
		id, err := s.ID(t.Context())
		must(t, err)
		ids[id] = true
		out := acquire(t, s, claimFor(t, "key"))
		must(t, write(out.Execution.Context(t.Context()), db, "business"))
		must(t, out.Execution.Complete(t.Context(), fmt.Append(nil, n)))
		_, err = s.Sweep(t.Context())
		must(t, err)
	}
	for n, s := range stores {
		if done := wantState(t, s, claimFor(t, "key"), idempotency.Done); string(done.Record) != strconv.Itoa(n) {
			t.Errorf("store %d has the record %q", n, done.Record)
		}
	}
	if len(ids) != len(stores) {
		t.Errorf("%d identities of %d stores", len(ids), len(stores))
	}
	if b.server != nil {
		if _, err := New(t.Context(), db, WithSchema("nowhere")); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("a schema that is not there: %v", err)
		}
	}
}

// testReadOnly: what cannot be written to is refused at the start, by name.
func testReadOnly(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	owner := p.open(t)
	must(t, Migrate(t.Context(), owner))
	for dsn, want := range readOnlyPlaces(t, p) {
		db := (&place{backend: b, dsn: dsn}).open(t)
		for name, options := range map[string][]Option{"": nil, "migrating": {WithMigrate()}, "detached": {WithDetached()}} {
			s, err := New(t.Context(), db, options...)
			if err == nil {
				must(t, s.Close())
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: error %v, want one that says %q", dsn, name, err, want)
			}
		}
	}
}

// readOnlyPlaces are data source names that lead to the place in ways that do not
// allow to write, and what must be said of each.
func readOnlyPlaces(t *testing.T, p *place) map[string]string {
	t.Helper()
	owner := p.open(t)
	switch p.dialect {
	case MySQL:
		for _, query := range []string{
			"CREATE USER reader@'%'", "GRANT SELECT ON * TO reader@'%'",
			"CREATE USER writer@'%'", "GRANT SELECT, INSERT, UPDATE, DELETE ON * TO writer@'%'",
		} {
			must(t, execIn(t, owner, query))
		}
		return map[string]string{
			strings.Replace(p.dsn, "root@", "reader@", 1):                     "the user may not write; grant SELECT, INSERT",
			strings.Replace(p.dsn, "root@", "writer@", 1) + "&tx_read_only=1": "sessions are read-only",
		}
	case PostgreSQL:
		for _, query := range []string{
			"CREATE USER reader", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
			"CREATE USER keeper", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO keeper",
			"CREATE USER calm", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO calm",
			"ALTER USER calm SET default_transaction_read_only = on",
		} {
			must(t, execIn(t, owner, query))
		}
		return map[string]string{
			strings.Replace(p.dsn, "postgres@", "reader@", 1): "the user may not write; grant SELECT, INSERT",
			strings.Replace(p.dsn, "postgres@", "keeper@", 1): "the user may not write; grant SELECT, INSERT",
			strings.Replace(p.dsn, "postgres@", "calm@", 1):   "sessions are read-only (default_transaction_read_only",
			p.dsn + "&default_transaction_read_only=on":       "sessions are read-only (default_transaction_read_only",
		}
	case SQLite:
	}
	return map[string]string{
		"file:" + p.dsn + "&mode=ro":     "the file is read-only",
		p.dsn + "&_pragma=query_only(1)": "the file is read-only",
	}
}

// testReadOnlyServer: a server that accepts no writes is refused too.
func testReadOnlyServer(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	owner := p.open(t)
	must(t, Migrate(t.Context(), owner))
	on, off := "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"
	want := "the server is read-only"
	if b.dialect == PostgreSQL {
		on, off = "ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET default_transaction_read_only"
		want = "sessions are read-only"
	} else { // root may write all the same
		must(t, execIn(t, owner, "CREATE USER common@'%'"))
		must(t, execIn(t, owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON * TO common@'%'"))
		p.dsn = strings.Replace(p.dsn, "root@", "common@", 1)
	}
	set := func(query string) {
		must(t, execIn(t, owner, query))
		if b.dialect == PostgreSQL {
			must(t, execIn(t, owner, "SELECT pg_reload_conf()"))
		}
	}
	if b.dialect == PostgreSQL { // so that it can be taken back
		must(t, execIn(t, owner, "ALTER ROLE postgres SET default_transaction_read_only = off"))
		owner = p.open(t)
		must(t, execIn(t, owner, "CREATE USER common_reader"))
		must(t, execIn(t, owner, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO common_reader"))
		p.dsn = strings.Replace(p.dsn, "postgres@", "common_reader@", 1)
	}
	set(on)
	defer set(off)
	db := p.open(t)
	waitUntil(t, func() bool {
		s, err := New(t.Context(), db)
		if err == nil {
			must(t, s.Close())
			return false // the server has not heard of it yet
		}
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("error %v, want one that says %q", err, want)
		}
		return true
	})
}
