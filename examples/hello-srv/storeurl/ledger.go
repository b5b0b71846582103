package storeurl

import "github.com/oncemore-dev/oncemore/examples/internal/setting"

// LedgerVariable is the environment variable that says where the ledger is if
// the store is none that could hold it.
const LedgerVariable = "LEDGER"

// ParseLedger parses a value of LEDGER: sqlite:PATH, mysql://… or postgres://….
// An empty one means sqlite: on DefaultPath. Its error is a *setting.Error, in
// which a password is hidden.
func ParseLedger(value string) (Store, error) {
	ledger, err := Parse(value)
	if err != nil || !ledger.IsDatabase() {
		return Store{}, &setting.Error{Name: LedgerVariable, Value: redact(value), Allowed: allowedLedger}
	}
	return ledger, nil
}

const allowedLedger = "sqlite:PATH, mysql://USER:PASSWORD@HOST:PORT/DATABASE or postgres://USER:PASSWORD@HOST:PORT/DATABASE"
