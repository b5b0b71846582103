package orm

import (
	"context"

	"github.com/oncemore-dev/oncemore/examples/orm/sqlcdb"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// SqlcWallet is a handler that writes through what sqlc has generated, which needs
// no pool: the transaction itself is what it wants.
type SqlcWallet struct{}

// Tip gives a tip.
func (SqlcWallet) Tip(ctx context.Context, t Tip) error {
	tx, ok := sqlstore.Tx(ctx)
	if !ok {
		return errNoKey
	}
	queries := sqlcdb.New(tx)
	if err := queries.GiveTip(ctx, sqlcdb.GiveTipParams{Student: t.Student, Cents: t.Cents}); err != nil {
		return err
	}
	if _, err := queries.CountTips(ctx, t.Student); err != nil {
		return err
	}
	if t.Cents <= 0 {
		return errRefused
	}
	return nil
}
