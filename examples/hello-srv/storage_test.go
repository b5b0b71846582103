package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

func env(store, ledger string) func(string) string {
	return func(name string) string {
		return map[string]string{storeurl.Variable: store, storeurl.LedgerVariable: ledger}[name]
	}
}

func TestStorageFrom(t *testing.T) {
	const (
		redis = "redis://u:secret@127.0.0.1:6379/0"
		mysql = "mysql://u:secret@127.0.0.1/x"
	)
	for _, tt := range []struct{ store, ledger, wantStore, wantLedger string }{
		{"", "", "sqlite:" + storeurl.DefaultPath(), "sqlite:" + storeurl.DefaultPath()},
		{"sqlite:/tmp/a.db", "", "sqlite:/tmp/a.db", "sqlite:/tmp/a.db"},
		{"sqlite:/tmp/a.db", "sqlite:/tmp/a.db", "sqlite:/tmp/a.db", "sqlite:/tmp/a.db"},
		{mysql, "", mysql, mysql},
		{"none:", "", "none:", "sqlite:" + storeurl.DefaultPath()},
		{"memory:", "sqlite:/tmp/b.db", "memory:", "sqlite:/tmp/b.db"},
		{"none:", mysql, "none:", mysql},
		{redis, "sqlite:/tmp/b.db", redis, "sqlite:/tmp/b.db"},
	} {
		got, err := storageFrom(env(tt.store, tt.ledger))
		if err != nil || got.store.Environment() != tt.wantStore || got.ledger.Environment() != tt.wantLedger {
			t.Errorf("STORE=%q LEDGER=%q: %+v, %v", tt.store, tt.ledger, got, err)
		}
		if strings.Contains(got.String(), "secret") {
			t.Errorf("STORE=%q LEDGER=%q: said %q", tt.store, tt.ledger, got)
		}
	}
}

func TestStorageFromRefuses(t *testing.T) {
	for _, tt := range []struct{ store, ledger, want string }{
		{"etcd:", "", `STORE="etcd:"`},
		{"mysql://u:secret@127.0.0.1", "", `STORE="mysql://…@127.0.0.1": must be memory:,`},
		{"sqlite:/tmp/a.db", "sqlite:/tmp/b.db", `LEDGER="sqlite:/tmp/b.db": must be unset with STORE=sqlite:/tmp/a.db`},
		{"postgres://u:secret@127.0.0.1/x", "sqlite:/tmp/b.db", `must be unset with STORE=postgres://u:xxxxx@127.0.0.1/x`},
		{"sqlite:/tmp/a.db", "none:", `LEDGER="none:": must be sqlite:PATH,`},
		{"none:", "redis://u:secret@127.0.0.1/0", `LEDGER="redis://…@127.0.0.1/0": must be sqlite:PATH,`},
	} {
		_, err := storageFrom(env(tt.store, tt.ledger))
		var notAllowed *setting.Error
		if !errors.As(err, &notAllowed) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("STORE=%q LEDGER=%q: error = %v, want %s", tt.store, tt.ledger, err, tt.want)
		}
	}
}
