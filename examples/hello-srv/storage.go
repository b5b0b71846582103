package main

import (
	"fmt"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// storage says where the records of executed calls are kept, and where the
// ledger.
type storage struct {
	store, ledger storeurl.Store
}

// String says what becomes of a call that comes twice.
func (s storage) String() string {
	switch s.store.Kind {
	case storeurl.None:
		return fmt.Sprintf("ledger in %s, no call is deduplicated: Wallet.Tip runs as often as it arrives", s.ledger)
	case storeurl.Memory:
		return fmt.Sprintf("ledger in %s, calls are deduplicated by this process alone", s.ledger)
	case storeurl.Redis:
		return fmt.Sprintf("ledger in %s, calls are deduplicated in %s", s.ledger, s.store)
	default:
		return fmt.Sprintf("ledger and records of calls in %s, written together", s.store)
	}
}

// storageFrom reads STORE and LEDGER. A database that holds the records holds
// the ledger too.
func storageFrom(getenv func(string) string) (storage, error) {
	store, err := storeurl.Parse(getenv(storeurl.Variable))
	if err != nil {
		return storage{}, err
	}
	value := getenv(storeurl.LedgerVariable)
	if !store.IsDatabase() {
		ledger, err := storeurl.ParseLedger(value)
		return storage{store: store, ledger: ledger}, err
	}
	if value != "" {
		ledger, err := storeurl.ParseLedger(value)
		if err != nil {
			return storage{}, err
		}
		if ledger.Environment() != store.Environment() {
			return storage{}, &setting.Error{Name: storeurl.LedgerVariable, Value: ledger.String(),
				Allowed: fmt.Sprintf("unset with %s=%s, which holds the ledger too", storeurl.Variable, store)}
		}
	}
	return storage{store: store, ledger: store}, nil
}
