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

// storageFrom reads STORE and LEDGER.
func storageFrom(getenv func(string) string) (storage, error) {
	store, err := storeurl.Parse(getenv(storeurl.Variable))
	if err != nil {
		return storage{}, err
	}
	if err := store.CheckSupported(); err != nil {
		return storage{}, err
	}
	path := getenv(ledgerVariable)
	if store.Kind != storeurl.SQLite {
		if path == "" {
			path = storeurl.DefaultPath()
		}
		return storage{store: store, ledgerPath: path}, nil
	}
	if path != "" && path != store.Path {
		return storage{}, &setting.Error{Name: ledgerVariable, Value: path,
			Allowed: fmt.Sprintf("unset with %s=%s, whose file holds the ledger too", storeurl.Variable, store)}
	}
	return storage{store: store, ledgerPath: store.Path}, nil
}
