package orm

import (
	"context"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// BunWallet is a handler that writes through bun.
type BunWallet struct{}

// bunTip is a row of the ledger.
type bunTip struct {
	bun.BaseModel `bun:"table:tips"`

	ID      int64 `bun:",pk,autoincrement"`
	Student string
	Cents   int64
}

// Tip gives a tip in a transaction of bun's, with a savepoint inside of it.
func (BunWallet) Tip(ctx context.Context, t Tip) error {
	db, err := transactionOf(ctx)
	if err != nil {
		return err
	}
	return bun.NewDB(db, pgdialect.New()).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&bunTip{Student: t.Student, Cents: t.Cents}).Exec(ctx); err != nil {
			return err
		}
		if t.Cents <= 0 {
			return errRefused
		}
		return tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewSelect().Model((*bunTip)(nil)).Where("student = ?", t.Student).Count(ctx)
			return err
		})
	})
}
