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
		return map[string]string{storeurl.Variable: store, ledgerVariable: ledger}[name]
	}
}

func TestStorageFrom(t *testing.T) {
	for _, tt := range []struct{ store, ledger, path string }{
		{"", "", storeurl.DefaultPath()},
		{"sqlite:/tmp/a.db", "", "/tmp/a.db"},
		{"sqlite:/tmp/a.db", "/tmp/a.db", "/tmp/a.db"},
		{"none:", "", storeurl.DefaultPath()},
		{"none:", "/tmp/b.db", "/tmp/b.db"},
	} {
		got, err := storageFrom(env(tt.store, tt.ledger))
		if err != nil || got.ledgerPath != tt.path {
			t.Errorf("STORE=%q LEDGER=%q: ledger %q, %v, want %q", tt.store, tt.ledger, got.ledgerPath, err, tt.path)
		}
	}
}

func TestStorageFromRefuses(t *testing.T) {
	for _, tt := range []struct{ store, ledger, want string }{
		{"etcd:", "", `STORE="etcd:"`},
		{"memory:", "", `STORE="memory:": must be sqlite:PATH or none: (this build does not support the others yet)`},
		{"redis://u:secret@127.0.0.1:6379/0", "", `STORE="redis://u:xxxxx@127.0.0.1:6379/0"`},
		{"mysql://u:secret@127.0.0.1/x", "", `does not support`},
		{"postgres://u:secret@127.0.0.1/x", "", `does not support`},
		{"sqlite:/tmp/a.db", "/tmp/b.db", `LEDGER="/tmp/b.db": must be unset with STORE=sqlite:/tmp/a.db`},
	} {
		_, err := storageFrom(env(tt.store, tt.ledger))
		var notAllowed *setting.Error
		if !errors.As(err, &notAllowed) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("STORE=%q LEDGER=%q: error = %v, want %s", tt.store, tt.ledger, err, tt.want)
		}
	}
}
