package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

// session is a transaction on a connection of its own.
type session struct {
	dialect dialect
	conn    *sql.Conn
	tx      *sql.Tx
	// txContext is the transaction's: when it is cancelled, database/sql rolls
	// back. It has nothing of the request's.
	txContext context.Context
	cancelTx  context.CancelFunc
	// restore is the SQL that gives the connection back as it was taken, and
	// putBack what undoes the handler's settings before.
	restore string
	putBack []string
	// takeBack, on PostgreSQL, comes before the store's own last statement.
	takeBack    string
	connections connections
	// background counts what outlives a call.
	background *sync.WaitGroup
}

// openSession takes a connection and begins a transaction on it. Only the
// beginning is bounded by ctx.
func (s *Store) openSession(ctx context.Context, o beginning) (*session, error) {
	if err := s.connections.take(ctx); err != nil {
		return nil, err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		s.connections.giveBack()
		return nil, err
	}
	ss := &session{dialect: s.dialect, conn: conn, connections: s.connections, background: &s.background}
	ss.txContext, ss.cancelTx = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.dialect.begin(ctx, ss, o); err != nil {
		if ss.tx == nil && classify(err) == contended {
			return nil, errors.Join(err, ss.giveBack())
		}
		ss.discard()
		return nil, err
	}
	return ss, nil
}

// resume executes what undoes the handler's settings.
func (s *session) resume(ctx context.Context) error {
	for _, text := range s.putBack {
		if _, err := s.tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	s.putBack = nil
	return nil
}

// beginTx begins the transaction. It is bounded by ctx, and the transaction is
// not.
func (s *session) beginTx(ctx context.Context, options *sql.TxOptions) (err error) {
	stop := context.AfterFunc(ctx, s.cancelTx)
	defer stop()
	if s.tx, err = s.conn.BeginTx(s.txContext, options); err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

// boundTx runs an end of the transaction whose driver goes by the
// transaction's context, so that it ends with ctx.
func (s *session) boundTx(ctx context.Context, end func() error) error {
	stop := context.AfterFunc(ctx, s.cancelTx)
	defer stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return end()
}

// dropTx ends a transaction that has ended on the server already, for a driver
// that asks the server all the same and goes by no context. over says that ctx
// ended first, and that the session is being discarded.
func (s *session) dropTx(ctx context.Context) (over bool, err error) {
	ended := make(chan error)
	s.background.Go(func() {
		err := s.tx.Rollback()
		select {
		case ended <- err:
		case <-ctx.Done():
			s.discard()
		}
	})
	select {
	case err := <-ended:
		return false, err
	case <-ctx.Done():
		return true, nil
	}
}

// commit commits; whatever the outcome, the session is over.
func (s *session) commit(ctx context.Context) error {
	over, err := s.dialect.commit(ctx, s)
	return s.end(over, err)
}

// rollback rolls back, if by closing the connection; the session is over.
func (s *session) rollback(ctx context.Context) {
	over, err := s.dialect.rollback(ctx, s)
	_ = s.end(over, err) // the connection is closed, which rolls back too
}

func (s *session) end(over bool, err error) error {
	switch {
	case over:
		return err
	case err != nil:
		s.discard()
		return err
	}
	return s.giveBack()
}

// giveBack returns the connection to the pool; its transaction has ended.
func (s *session) giveBack() error {
	s.cancelTx()
	defer s.connections.giveBack()
	if err := s.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("sqlstore: give a connection back: %w", err)
	}
	return nil
}

// discard closes the connection, in whatever state it is; its server then
// rolls back. None of the errors on the way says more than that.
func (s *session) discard() {
	defer s.connections.giveBack()
	s.dialect.hangUp(s)
	s.cancelTx()
	if s.tx != nil {
		_ = s.tx.Rollback()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
}

// expire ends a session that has taken too long, while its handler may still be
// using it.
func (s *session) expire() {
	s.dialect.hangUp(s)
	s.cancelTx()
}

// hangUpConn closes a driver's connection, for drivers that would otherwise ask
// a silent server to roll back, and wait.
func hangUpConn(conn *sql.Conn) {
	_ = conn.Raw(func(c any) error {
		if closer, ok := c.(driver.Conn); ok {
			_ = closer.Close()
		}
		return nil
	})
}

// seconds is a duration in whole seconds, rounded up.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// milliseconds is a duration in whole milliseconds, rounded up.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
