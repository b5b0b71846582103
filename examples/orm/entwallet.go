package orm

import (
	"context"
	"errors"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"

	"github.com/oncemore-dev/oncemore/examples/orm/ent"
	"github.com/oncemore-dev/oncemore/examples/orm/ent/tip"
)

// EntWallet is a handler that writes through ent.
type EntWallet struct{}

// Tip gives a tip in a transaction of ent's.
func (EntWallet) Tip(ctx context.Context, t Tip) (err error) {
	db, err := transactionOf(ctx)
	if err != nil {
		return err
	}
	tx, err := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db))).Tx(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	if _, err := tx.Tip.Create().SetStudent(t.Student).SetCents(t.Cents).Save(ctx); err != nil {
		return err
	}
	if _, err := tx.Tip.Query().Where(tip.Student(t.Student)).Count(ctx); err != nil {
		return err
	}
	if t.Cents <= 0 {
		return errRefused
	}
	return tx.Commit()
}
