package sqlstore

import "testing"

func TestStrings(t *testing.T) {
	for d, want := range map[Dialect]string{MySQL: "MySQL", PostgreSQL: "PostgreSQL", SQLite: "SQLite", 0: "Dialect(0)"} {
		if got := d.String(); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
	if got := numbered("a = ? AND b = ?"); got != "a = $1 AND b = $2" {
		t.Errorf("numbered: %q", got)
	}
}
