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

// Querier is what *sql.DB, *sql.Conn and *sql.Tx have in common: a transfer can
// be written within a transaction that somebody else began and will commit.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Add writes t and returns the student's balance with t in it.
func Add(ctx context.Context, q Querier, t Transfer) (balanceCents int64, err error) {
	_, err = q.ExecContext(ctx, `INSERT INTO transfers
		(transfer_id, student, amount_cents, idempotency_key, instance, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		t.ID, t.Student, t.AmountCents, t.Key, t.Instance, t.At.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return 0, fmt.Errorf("ledger: write the transfer %s: %w", t.ID, err)
	}
	return Balance(ctx, q, t.Student)
}

// Balance returns the sum of a student's transfers, 0 for one who is unknown.
func Balance(ctx context.Context, q Querier, student string) (int64, error) {
	var cents int64
	err := q.QueryRowContext(ctx,
		`SELECT COALESCE(SUM(amount_cents), 0) FROM transfers WHERE student = ?`, student).Scan(&cents)
	if err != nil {
		return 0, fmt.Errorf("ledger: sum up the transfers to %s: %w", student, err)
	}
	return cents, nil
}
