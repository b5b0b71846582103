package sqlstore

import "testing"

func TestStrings(t *testing.T) {
	for d, want := range map[Dialect]string{MySQL: "MySQL", PostgreSQL: "PostgreSQL", SQLite: "SQLite", 0: "Dialect(0)"} {
		if got := d.String(); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}
