package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Transfer is one row of the ledger.
type Transfer struct {
	// ID names the row; every execution mints its own.
	ID string
	// Student is who was given the money.
	Student string
	// AmountCents is how much.
	AmountCents int64
	// Key is the idempotency key of the call that was executed, empty if it
	// carried none.
	Key string
	// Instance is the id of the hello-srv that executed the call.
	Instance string
	// At is when, by that instance's clock.
	At time.Time
}

// Querier is what *sql.DB, *sql.Conn, *sql.Tx and the transaction of an
// idempotency store have in common: a transfer can be written within a
// transaction that somebody else began and will commit.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// AddIn writes t through q, whose owner commits it, and returns the student's
// balance with t in it.
func (l *Ledger) AddIn(ctx context.Context, q Querier, t Transfer) (balanceCents int64, err error) {
	_, err = q.ExecContext(ctx, l.dialect.words(`INSERT INTO hello_transfer
		(transfer_id, student, amount_cents, idempotency_key, instance, created_at) VALUES (?, ?, ?, ?, ?, ?)`),
		t.ID, t.Student, t.AmountCents, t.Key, t.Instance, t.At.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return 0, fmt.Errorf("ledger: write the transfer %s: %w", t.ID, err)
	}
	return l.balance(ctx, q, t.Student)
}

// Add writes t in a transaction of its own and returns the student's balance
// with t in it. When it returns nil the row survives the death of the process.
//
// A fence of more than 0 is that of the execution: if one with a greater fence
// has taken the key over, nothing is written, and the error is ErrFenced.
func (l *Ledger) Add(ctx context.Context, t Transfer, fence uint64) (balanceCents int64, err error) {
	err = l.inTransaction(ctx, func(tx *sql.Tx) (err error) {
		if fence > 0 {
			if err := l.raiseFence(ctx, tx, t.Key, fence); err != nil {
				return err
			}
		}
		balanceCents, err = l.AddIn(ctx, tx, t)
		return err
	})
	return balanceCents, err
}

// Balance returns the sum of a student's transfers, 0 for one who is unknown.
func (l *Ledger) Balance(ctx context.Context, student string) (int64, error) {
	return l.balance(ctx, l.db, student)
}

func (l *Ledger) balance(ctx context.Context, q Querier, student string) (int64, error) {
	var cents int64
	err := q.QueryRowContext(ctx, l.dialect.words(
		`SELECT COALESCE(SUM(amount_cents), 0) FROM hello_transfer WHERE student = ?`), student).Scan(&cents)
	if err != nil {
		return 0, fmt.Errorf("ledger: sum up the transfers to %s: %w", student, err)
	}
	return cents, nil
}
