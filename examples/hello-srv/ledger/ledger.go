package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// Ledger is a ledger in a database, which any number of processes may have
// open. The zero value is not usable: Open one. Safe for concurrent use.
type Ledger struct {
	db      *sql.DB
	dialect dialect
}

// maxConnections leaves room, on a server with the usual limit of 100 or 150,
// for a handful of instances.
const maxConnections = 20

// Open opens the ledger in a database, which is a SQLite file, MySQL, MariaDB
// or PostgreSQL, and creates what is missing of it. The error names the
// database, without its password.
func Open(ctx context.Context, where storeurl.Store) (*Ledger, error) {
	l, err := connect(where)
	if err != nil {
		return nil, fmt.Errorf("ledger: open %s: %w", where, err)
	}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ledger: prepare %s: %w", where, err), l.Close())
	}
	return l, nil
}

func connect(where storeurl.Store) (*Ledger, error) {
	d, err := dialectOf(where.Kind)
	if err != nil {
		return nil, err
	}
	source, err := d.source(where)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(d.driver, source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	return &Ledger{db: db, dialect: d}, nil
}

// prepare creates the tables. Instances that do so at once wait for each other.
func (l *Ledger) prepare(ctx context.Context) error {
	return l.inTransaction(ctx, func(tx *sql.Tx) error {
		for _, statement := range l.dialect.schema {
			if _, err := tx.ExecContext(ctx, statement); err != nil { //nolint:gosec // one of the dialect's
				return err
			}
		}
		return nil
	})
}

// ErrCommit is the one error after which a transfer may have been written or
// not: after any other it was not.
var ErrCommit = errors.New("ledger: the outcome of the commit is unknown")

// inTransaction commits what do has done, unless it failed.
func (l *Ledger) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ledger: begin: %w", err)
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrCommit, err)
	}
	return nil
}

// DB is the database, which may hold other tables too. It is the ledger's to
// close.
func (l *Ledger) DB() *sql.DB { return l.db }

// Close closes the database.
func (l *Ledger) Close() error { return l.db.Close() }
