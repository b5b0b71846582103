package orm

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"
)

// SqlxWallet is a handler that writes through sqlx.
type SqlxWallet struct{}

// Tip gives a tip in a transaction of sqlx's.
func (SqlxWallet) Tip(ctx context.Context, t Tip) (err error) {
	db, err := transactionOf(ctx)
	if err != nil {
		return err
	}
	tx, err := sqlx.NewDb(db, "pgx").BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.NamedExecContext(ctx, "INSERT INTO tips (student, cents) VALUES (:student, :cents)", t); err != nil {
		return err
	}
	var given []Tip
	if err := tx.SelectContext(ctx, &given, "SELECT student, cents FROM tips WHERE student = $1", t.Student); err != nil {
		return err
	}
	if given[len(given)-1].Cents <= 0 {
		return errRefused
	}
	return tx.Commit()
}
