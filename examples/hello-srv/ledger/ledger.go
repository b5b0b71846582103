package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// busyTimeout is how long a statement waits for another process's
// transaction.
const busyTimeout = 5 * time.Second

// Not unique: see the package comment.
const schema = `
CREATE TABLE IF NOT EXISTS transfers (
	transfer_id     TEXT NOT NULL PRIMARY KEY,
	student         TEXT NOT NULL,
	amount_cents    INTEGER NOT NULL,
	idempotency_key TEXT NOT NULL,
	instance        TEXT NOT NULL,
	created_at      TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS transfers_by_student ON transfers (student, amount_cents);
CREATE INDEX IF NOT EXISTS transfers_by_key ON transfers (idempotency_key);`

// Ledger is a ledger in a SQLite file, which any number of processes on one
// machine may have open. The zero value is not usable: Open one. Safe for
// concurrent use.
type Ledger struct {
	db *sql.DB
}

// Open opens the ledger in the SQLite file at path and creates what is missing
// of it.
func Open(ctx context.Context, path string) (*Ledger, error) {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("ledger: open %s: %w", path, err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: prepare %s: %w", path, err), db.Close())
	}
	return &Ledger{db: db}, nil
}

// dsn asks for write-ahead logging, so that readers do not wait for writers,
// and for transactions that take the write lock as they begin, so that two of
// them wait for each other instead of one failing halfway.
func dsn(path string) string {
	options := url.Values{}
	options.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	options.Add("_pragma", "journal_mode(WAL)")
	options.Add("_txlock", "immediate")
	return path + "?" + options.Encode()
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// Add writes t in a transaction of its own and returns the student's balance
// with t in it. When it returns nil the row survives the death of the process.
func (l *Ledger) Add(ctx context.Context, t Transfer) (balanceCents int64, err error) {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("ledger: begin: %w", err)
	}
	balanceCents, err = Add(ctx, tx, t)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("ledger: commit the transfer %s: %w", t.ID, err)
	}
	return balanceCents, nil
}

// Balance returns the sum of a student's transfers, 0 for one who is unknown.
func (l *Ledger) Balance(ctx context.Context, student string) (int64, error) {
	return Balance(ctx, l.db, student)
}
