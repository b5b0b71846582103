package ledger

import (
	"context"
	"errors"
	"fmt"
)

// RowsByKey counts the rows of every idempotency key that begins with prefix:
// how often each call was executed.
func (l *Ledger) RowsByKey(ctx context.Context, prefix string) (counts map[string]int, err error) {
	rows, err := l.db.QueryContext(ctx, l.dialect.words(`SELECT idempotency_key, COUNT(*) FROM hello_transfer
		WHERE SUBSTR(idempotency_key, 1, ?) = ? GROUP BY idempotency_key`), len(prefix), prefix)
	if err != nil {
		return nil, fmt.Errorf("ledger: count rows: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()

	counts = make(map[string]int)
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			return nil, fmt.Errorf("ledger: count rows: %w", err)
		}
		counts[key] = n
	}
	return counts, rows.Err()
}
