package orm

import (
	"context"
	"database/sql"
	"errors"
)

// PlainWallet is a handler that calls code which knows nothing of all this, and
// wants a *sql.Tx.
type PlainWallet struct{}

// Tip gives a tip.
func (PlainWallet) Tip(ctx context.Context, t Tip) error {
	db, err := transactionOf(ctx)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := enter(ctx, tx, t); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// enter is such code. It sets a savepoint of its own.
func enter(ctx context.Context, tx *sql.Tx, t Tip) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT mine"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO tips (student, cents) VALUES ($1, $2)", "a mistake", 1); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT mine"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO tips (student, cents) VALUES ($1, $2)", t.Student, t.Cents); err != nil {
		return err
	}
	if t.Cents <= 0 {
		return errRefused
	}
	return nil
}
