package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// sessionSettings are what a handler may set in its transaction, or for its session.
func sessionSettings(d Dialect) []string {
	return map[Dialect][]string{
		MySQL: {
			"USE mysql", "SET ROLE NONE", "SET time_zone = '+05:45'", "SET SESSION max_statement_time = 0.001",
			"SET timestamp = 1", "SET SESSION TRANSACTION READ ONLY", "SET sql_mode = 'ANSI_QUOTES'",
			"SET SESSION sql_select_limit = 0", "SET completion_type = 'CHAIN'", "CALL restless()",
		},
		PostgreSQL: {
			"SET search_path = nowhere", "SET LOCAL search_path = nowhere", "SET ROLE nobody", "SET LOCAL ROLE nobody",
			"SET SESSION AUTHORIZATION nobody", "SET LOCAL statement_timeout = '5ms'", "SET TRANSACTION READ ONLY",
			"SET standard_conforming_strings = off", "SET TIME ZONE 'Asia/Kathmandu'", "SET bytea_output = 'escape'",
			"SELECT set_config('role', 'nobody', false)", "SELECT restless()",
		},
		SQLite: {"PRAGMA query_only = ON", "PRAGMA busy_timeout = 0"},
	}[d]
}

// restless prepares a place for the settings: a user who has its rights by a role,
// and a function or procedure that changes the session.
func restless(t *testing.T, b *backend) *place {
	t.Helper()
	p := b.newPlace(t)
	db := p.open(t)
	must(t, Migrate(t.Context(), db))
	switch b.dialect {
	case MySQL:
		for _, query := range []string{
			"CREATE OR REPLACE ROLE writer", "GRANT ALL ON * TO writer", "CREATE OR REPLACE USER restless@'%'",
			"GRANT writer TO restless@'%'", "SET DEFAULT ROLE writer FOR restless@'%'",
			"GRANT SELECT ON mysql.proc TO restless@'%'",
			"CREATE PROCEDURE restless() SQL SECURITY INVOKER SET ROLE NONE", "GRANT EXECUTE ON * TO restless@'%'",
		} {
			must(t, execIn(t, db, query))
		}
		p.dsn = strings.Replace(p.dsn, "root@", "restless@", 1)
	case PostgreSQL:
		for _, query := range []string{
			"DO $$ BEGIN CREATE ROLE nobody; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
			`CREATE FUNCTION restless() RETURNS text LANGUAGE sql AS
				$$ SELECT set_config('search_path', 'nowhere', false) || set_config('role', 'nobody', false) $$`,
		} {
			must(t, execIn(t, db, query))
		}
	case SQLite:
	}
	return p
}

// testSession: whatever the handler sets, the record is written, in both ways in
// which a handler may end, and the connection comes back as it was.
func testSession(t *testing.T, b *backend) {
	t.Helper()
	p := restless(t, b)
	i := p.instance(t, 3)
	before := p.session(t, i.db)
	poor := &idempotency.RecordedError{Code: 402, Detail: "not enough"}
	for n, setting := range sessionSettings(b.dialect) {
		for end, err := range map[string]error{
			"done": nil, "refused": poor, "released": idempotency.NotDone(errors.New("later")),
		} {
			t.Run(setting+"/"+end, func(t *testing.T) {
				key := fmt.Sprintf("%s-%d", end, n)
				runs := 0
				work := func(ctx context.Context) error {
					if runs++; runs > 1 {
						return nil
					}
					must(t, write(ctx, i.db, key))
					tx, _ := Tx(ctx)
					if _, err := tx.ExecContext(ctx, setting); err != nil {
						t.Errorf("%s: %v", setting, err)
					}
					return err
				}
				_, got := i.call(t.Context(), key, 0, work)
				if (got != nil) != (err != nil) || err != nil && !strings.Contains(got.Error(), err.Error()) {
					t.Errorf("error %v, want %v", got, err)
				}
				if end != "released" {
					i.wantSettled(t, key, work)
					if runs != 1 {
						t.Errorf("%d executions, want 1", runs)
					}
				}
				wantWrites(t, i.db, key, map[string]int{"done": 1}[end])
				if after := p.session(t, i.db); after != before {
					t.Errorf("the session was %q and is %q", before, after)
				}
			})
		}
	}
}

// wantSettled repeats a call, which must not run again, and looks whether the
// record has the time of now.
func (i *instance) wantSettled(t *testing.T, key string, work func(context.Context) error) {
	t.Helper()
	_, _ = i.call(t.Context(), key, 0, work)
	e, err := i.guard.Lookup(t.Context(), idempotency.Scope{Service: "sqlstore", Endpoint: "Wallet.Tip", Key: key})
	if err != nil || e.State != idempotency.Done {
		t.Errorf("the key is %v, %v; want done", e.State, err)
	}
	if age := time.Since(e.EndedAt); age < -time.Minute || age > time.Hour {
		t.Errorf("the record is %v old", age)
	}
}

// session describes what the one session of a pool that is not in use is like.
func (p *place) session(t *testing.T, db *sql.DB) (text string) {
	t.Helper()
	query := map[Dialect]string{
		MySQL: `SELECT CONCAT_WS(' ', DATABASE(), CURRENT_ROLE(), @@max_statement_time, @@tx_read_only, @@sql_mode,
			@@completion_type, @@sql_select_limit, ABS(TIMESTAMPDIFF(HOUR, NOW(), SYSDATE())))`,
		PostgreSQL: `SELECT concat_ws(' ', current_schema(), current_user, session_user, current_setting('role'),
			current_setting('search_path'), current_setting('statement_timeout'), current_setting('transaction_read_only'))`,
		SQLite: "SELECT query_only || ' ' || timeout FROM pragma_query_only, pragma_busy_timeout",
	}[p.dialect]
	must(t, db.QueryRowContext(t.Context(), query).Scan(&text))
	return text
}
