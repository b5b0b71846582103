package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrFenced is the error of an execution that comes too late: another one has
// taken its key over, and looked up that it had not written yet.
var ErrFenced = errors.New("ledger: another execution has taken the key over; nothing was written")

const selectFence = `SELECT fence FROM hello_fence WHERE idempotency_key = ?`

// raiseFence keeps every execution with a lesser fence from writing under key,
// as soon as tx commits; the row stays locked until then. It is ErrFenced if
// there is a greater one already.
func (l *Ledger) raiseFence(ctx context.Context, tx *sql.Tx, key string, fence uint64) error {
	if _, err := tx.ExecContext(ctx, l.dialect.words(l.dialect.raise), key, int64(fence)); err != nil { //nolint:gosec // it counts takeovers
		return fmt.Errorf("ledger: raise the fence: %w", err)
	}
	var greatest uint64
	err := tx.QueryRowContext(ctx, l.dialect.words(selectFence), key).Scan(&greatest) //nolint:gosec // a constant
	switch {
	case err != nil:
		return fmt.Errorf("ledger: read the fence: %w", err)
	case greatest > fence:
		return ErrFenced
	default:
		return nil
	}
}

// Find tells what an execution under key, whose end nobody knows, has written:
// found is false if nothing. From then on it never will, nor will any other
// with a fence below that of the caller.
func (l *Ledger) Find(ctx context.Context, key string, fence uint64) (transferID string, found bool, err error) {
	err = l.inTransaction(ctx, func(tx *sql.Tx) error {
		if err := l.raiseFence(ctx, tx, key, fence); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, l.dialect.words(
			`SELECT transfer_id FROM hello_transfer WHERE idempotency_key = ? ORDER BY created_at LIMIT 1`), key).Scan(&transferID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found = err == nil
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("ledger: look up the key: %w", err)
	}
	return transferID, found, nil
}
