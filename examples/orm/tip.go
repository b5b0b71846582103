package orm

import (
	"context"
	"database/sql"
	"errors"

	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// Tip is what a call asks for.
type Tip struct {
	Student string `db:"student"`
	Cents   int64  `db:"cents"`
}

// errRefused is a rule that a tip breaks. What was written before it is undone.
var errRefused = errors.New("a tip must be positive")

// errNoKey is the answer to a call without a key, which has no transaction. A
// service that accepts such calls uses its own *sql.DB for them.
var errNoKey = errors.New("the call has no key")

func transactionOf(ctx context.Context) (*sql.DB, error) {
	if db, ok := sqlstore.DB(ctx); ok {
		return db, nil
	}
	return nil, errNoKey
}
