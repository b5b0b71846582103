package sqlstore

import "testing"

func TestControls(t *testing.T) {
	for query, want := range map[string]bool{
		"COMMIT": true, ";commit": true, "commit work": true, "END": true, "BEGIN": true, "Start Transaction": true, "abort": true,
		"ROLLBACK": true, "ROLLBACK WORK": true, "ROLLBACK TO mine": false, "ROLLBACK /* only */ TO SAVEPOINT mine": false,
		"/* a */ /* b */ COMMIT": true, "-- a\nCOMMIT": true, "# a\nCOMMIT": true, "/*! COMMIT */": true, "/*M!100101 COMMIT */": true,
		"PREPARE TRANSACTION 'mine'": true, "PREPARE mine FROM 'SELECT 1'": false,
		"SET autocommit=1": true, "SET SESSION sql_mode = '', @@autocommit = 1": true, "SET LOCAL lock_timeout = 1": false,
		"": false, "/* not closed COMMIT": false, "-- COMMIT": false, "committed": false, "SELECT 'COMMIT'": false,
		"INSERT INTO t VALUES (1)": false, "ENDURE": false, "WITH begin AS (SELECT 1) SELECT 1": false, "SAVEPOINT mine": false,
		"SAVEPOINT oncemore": true, "release savepoint \"oncemore_1\"": true, "RELEASE `oncemore`": true, "RELEASE mine": false,
		"ROLLBACK TO SAVEPOINT oncemore": true, "rollback to oncemore_2": true,
	} {
		if got := controls(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

func TestLeavesSession(t *testing.T) {
	for query, want := range map[string]bool{
		"INSERT INTO t VALUES (1)": true, "/* why */ update t set a = 1": true, "SELECT a FROM t": true, "(SELECT a FROM t)": true,
		"WITH x AS (SELECT 1 FROM t) SELECT * FROM x": true, "SAVEPOINT mine": true, "ROLLBACK TO mine": true,
		"SELECT restless()": false, "SELECT set_config('role', 'x', false) FROM t": false, "SET ROLE x": false, "USE other": false,
		"CALL restless()": false, "DO $$ BEGIN END $$": false, "PRAGMA query_only = 1": false, "EXECUTE s": false, "": false,
	} {
		if got := leavesSession(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

// FuzzControls: whatever the text, it is judged, and in the same way with a comment
// before it.
func FuzzControls(f *testing.F) {
	for _, query := range []string{"COMMIT", "/* a */ ROLLBACK TO x", "SET autocommit=1", "/*!50003 COMMIT */", "SAVEPOINT \"x\"", "--\n;("} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if bare, commented := controls(query), controls("/* why */ "+query); bare != commented {
			t.Errorf("%q: %v, with a comment before it %v", query, bare, commented)
		}
		leavesSession(query)
	})
}
