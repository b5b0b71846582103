package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// tip is what a client asks for.
type tip struct {
	Student string `json:"student"`
	Cents   int64  `json:"cents"`
}

// give is a handler: its write commits with the record of its answer.
func give(ctx context.Context, t tip) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errors.New("give: the call has no key, and so no transaction")
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO ledger (student, cents) VALUES (?, ?)", t.Student, t.Cents)
	return err
}

// A request that comes twice moves the money once.
func Example() {
	if err := example(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// replayed: false
	// replayed: true
	// rows in the ledger: 1
}

func example() (err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "bank.db")+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err = db.ExecContext(ctx, "CREATE TABLE ledger (student TEXT, cents INTEGER)"); err != nil {
		return err
	}

	store, err := sqlstore.New(ctx, db, sqlstore.WithMigrate())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	guard, err := idempotency.New(store)
	if err != nil {
		return err
	}

	request := tip{Student: "xuxu", Cents: 500}
	for range 2 {
		result, err := guard.Do(ctx, idempotency.Call{
			Service: "bank", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: "form-7f3a"}, Body: request,
		}, func(ctx context.Context) error { return give(ctx, request) })
		if err != nil {
			return err
		}
		fmt.Println("replayed:", result.Replayed)
	}
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM ledger").Scan(&rows); err != nil {
		return err
	}
	fmt.Println("rows in the ledger:", rows)
	return nil
}
