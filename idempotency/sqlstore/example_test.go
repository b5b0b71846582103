package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// A request that comes twice moves the money once: the handler's write commits
// together with the record of its answer, or not at all. The database is one
// that a driver of your choice has opened.
func Example() {
	pay := func(ctx context.Context, db *sql.DB, key, student string, cents int64) (replayed bool, err error) {
		store, err := sqlstore.New(ctx, db, sqlstore.WithMigrate())
		if err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		guard, err := idempotency.New(store)
		if err != nil {
			return false, err
		}
		result, err := guard.Do(ctx, idempotency.Call{
			Service: "bank", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: key}, Body: []any{student, cents},
		}, func(ctx context.Context) error {
			tx, ok := sqlstore.Tx(ctx)
			if !ok {
				return errors.New("the call has no key, and so no transaction")
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO ledger (student, cents) VALUES (?, ?)", student, cents)
			return err
		})
		return result.Replayed, err
	}
	_ = pay
}
