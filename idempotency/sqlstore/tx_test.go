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
	} {
		if got := controls(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}
