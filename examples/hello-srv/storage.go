package main

import (
	"fmt"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// ledgerVariable names the ledger's file where STORE is no database of its own.
const ledgerVariable = "LEDGER"

// storage says where the ledger is, and where the records of executed calls
// are to be.
type storage struct {
	store      storeurl.Store
	ledgerPath string
}

// String says what becomes of a call that comes twice.
func (s storage) String() string {
	return fmt.Sprintf("ledger in %s, no call is deduplicated: Wallet.Tip runs as often as it arrives", s.ledgerPath)
}

// storageFrom reads STORE and LEDGER. A store that this build cannot keep
// records in is refused: better no service than one that only seems to
// deduplicate.
func storageFrom(getenv func(string) string) (storage, error) {
	store, err := storeurl.Parse(getenv(storeurl.Variable))
	if err != nil {
		return storage{}, err
	}
	path := getenv(ledgerVariable)
	switch store.Kind {
	case storeurl.SQLite:
		if path != "" && path != store.Path {
			return storage{}, &setting.Error{Name: ledgerVariable, Value: path,
				Allowed: fmt.Sprintf("unset with %s=%s, whose file holds the ledger too", storeurl.Variable, store)}
		}
		return storage{store: store, ledgerPath: store.Path}, nil
	case storeurl.None:
		if path == "" {
			path = storeurl.DefaultPath()
		}
		return storage{store: store, ledgerPath: path}, nil
	default:
		return storage{}, &setting.Error{Name: storeurl.Variable, Value: store.String(),
			Allowed: "sqlite:PATH or none: (this build does not support the others yet)"}
	}
}
