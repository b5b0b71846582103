package orm

import (
	"context"

	"gorm.io/gorm"
)

// GormWallet is a handler that writes through gorm.
type GormWallet struct{ DB *gorm.DB }

// gormTip is a row of the ledger.
type gormTip struct {
	ID      int64
	Student string
	Cents   int64
}

// TableName is of gorm.
func (gormTip) TableName() string { return "tips" }

// in returns gorm on the transaction of ctx, with all that w.DB has learnt.
func (w GormWallet) in(ctx context.Context) (*gorm.DB, error) {
	db, err := transactionOf(ctx)
	if err != nil {
		return nil, err
	}
	session := w.DB.Session(&gorm.Session{NewDB: true, Context: ctx})
	session.Statement.ConnPool = db
	return session, nil
}

// Tip gives a tip in a transaction of gorm's, which is a savepoint, and so is the
// one inside of it.
func (w GormWallet) Tip(ctx context.Context, t Tip) error {
	db, err := w.in(ctx)
	if err != nil {
		return err
	}
	return db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&gormTip{Student: t.Student, Cents: t.Cents}).Error; err != nil {
			return err
		}
		if t.Cents <= 0 {
			return errRefused
		}
		return tx.Transaction(func(tx *gorm.DB) error {
			return tx.Model(&gormTip{}).Where("student = ?", t.Student).Update("cents", gorm.Expr("cents + 0")).Error
		})
	})
}
