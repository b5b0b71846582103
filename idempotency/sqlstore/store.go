package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"sync"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Store is an [idempotency.Store]. It is made by [New], and safe for
// concurrent use.
type Store struct {
	settings
	tables
	db          *sql.DB
	statements  *statements
	connections connections
	waiters     waiters
	unused      unusedWarnings
	id          string
	place       [sha256.Size]byte // tells the tables from all others

	closeOnce sync.Once
	closed    error
	stop      context.CancelFunc
	// background counts the sweeper and what outlives a call.
	background sync.WaitGroup
}

var _ idempotency.Store = (*Store)(nil)

// New returns a store in the database, which stays the caller's: close it after
// the store. The tables must be there, see [Migrate] and [WithMigrate]. ctx
// bounds New alone.
//
// An error says what the database or its pool lacks, or which option is wrong,
// its value and what is allowed.
func New(ctx context.Context, db *sql.DB, options ...Option) (*Store, error) {
	if db == nil {
		return nil, errNilDB
	}
	o, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	pool := db.Stats().MaxOpenConnections
	if pool == 1 && !o.detached {
		return nil, errors.New("sqlstore: the pool has 1 connection, which one execution holds; " +
			"give it more (sql.DB.SetMaxOpenConns), 2 at least")
	}
	s := &Store{settings: o, db: db, connections: newConnections(pool), waiters: newWaiters(o.waiterSlots(pool))}
	if s.tables, err = o.findTables(ctx, db); err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, o.explained(ctx, db, err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if s.sweepInterval > 0 {
		s.background.Go(func() { s.sweeper(life) })
	}
	return s, nil
}

// waiterSlots leaves a connection to the executions: with 2 connections nobody
// waits in the database.
func (o *Options) waiterSlots(pool int) int {
	n := 32
	switch {
	case o.waitersSet:
		n = o.maxWaiters
	case pool > 0:
		n = max(1, (pool-1)/2)
	}
	if pool > 0 {
		n = min(n, max(0, pool-2))
	}
	return n
}

// prepare checks the database and reads what will be needed of it.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.dialect.check(ctx, s.db); err != nil {
		return err
	}
	if s.migrated {
		if err := s.migrate(ctx, s.db); err != nil {
			return err
		}
	}
	var err error
	if s.id, err = s.identify(ctx, s.db); err != nil {
		return err
	}
	s.place = s.naming.place(s.id)
	s.statements = newStatements(s.dialect, s.naming)
	if s.dialect.prepares() {
		if err := s.statements.prepare(ctx, s.db); err != nil {
			return s.writable(err)
		}
	}
	if err := s.probe(ctx); err != nil {
		return errors.Join(err, s.statements.close())
	}
	return nil
}

// Close ends the sweeps, and waits for one that is under way. Executions that
// run are not touched, and must end before. It does not close the database.
// Closing again does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.stop()
		s.background.Wait()
		s.closed = s.statements.close()
	})
	return s.closed
}

// ID returns the identity that the tables were given when they were created.
func (s *Store) ID(context.Context) (string, error) { return s.id, nil }

// Begin implements [idempotency.Store]. On a transactional store every error is
// [idempotency.ErrNotApplied].
func (s *Store) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return idempotency.Outcome{}, idempotency.NotApplied(err)
	}
	if out, found := s.cached(ctx, c.Key); found {
		return out, nil
	}
	own := newClaim(c)
	if s.detached {
		return s.beginDetached(ctx, own)
	}
	out, err := s.beginTransactional(ctx, own)
	if err != nil {
		return idempotency.Outcome{}, idempotency.NotApplied(err)
	}
	return out, nil
}

// table is where each statement is a transaction.
func (s *Store) table() table { return table{statements: s.statements, tables: &s.tables, db: s.db} }

// look finds a key's row outside of any transaction. Where the server's default
// is SERIALIZABLE even that can lose against others.
func (s *Store) look(ctx context.Context, c *claim) (r *row, err error) {
	err = persist(ctx, func() (err error) {
		r, err = s.table().find(ctx, c)
		return err
	})
	return r, err
}

func (s *Store) tableIn(ss *session) table {
	return table{statements: s.statements, tables: &s.tables, db: s.db, tx: ss.tx}
}
