package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
)

// ErrTxOpen is returned by a [DB] that is asked for a second transaction while
// one is open. Transactions that are independent of each other need handlers, or
// calls, of their own.
var ErrTxOpen = errors.New("sqlstore: a transaction of sqlstore.DB is open already: " +
	"end it first, or begin a savepoint inside of it")

// ErrTxMixed is returned by the Rollback of a transaction of [DB], and then by
// Complete, if something was written past it while it was open, which was undone
// with it.
var ErrTxMixed = errors.New("sqlstore: the rollback to a savepoint has also undone what was written past it: " +
	"while a transaction of sqlstore.DB is open, write through it alone")

// pool returns what [DB] hands out.
func (t *transaction) pool() *sql.DB {
	t.turn.Lock()
	defer t.turn.Unlock()
	if t.handed == nil {
		t.handed = sql.OpenDB(connector{t})
		switch {
		case t.ended:
			_ = t.handed.Close() // nothing of it is open
		case t.until.IsZero() && t.life.Done() != nil: // nobody else ends it
			context.AfterFunc(t.life, func() { _ = t.end(context.WithoutCancel(t.life)) })
		}
	}
	return t.handed
}

// closeHanded rolls back to a savepoint that is still open, and closes the pool.
func (t *transaction) closeHanded(ctx context.Context) error {
	if t.handed == nil {
		return nil
	}
	var errs []error
	if t.streaming != nil {
		errs = append(errs, t.streaming.drop())
	}
	if t.savepoint != nil {
		errs = append(errs, t.savepoint.undo(ctx))
	}
	return errors.Join(append(errs, t.handed.Close())...)
}

// connector opens connections that are all the same transaction.
type connector struct{ *transaction }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return &handedConn{c.transaction}, nil
}
func (c connector) Driver() driver.Driver { return c }

// Open is for database/sql, which does not call it.
func (c connector) Open(string) (driver.Conn, error) { return &handedConn{c.transaction}, nil }

// handedConn is a connection of the pool that [DB] hands out.
type handedConn struct{ t *transaction }

var (
	_ driver.ConnBeginTx        = (*handedConn)(nil)
	_ driver.ConnPrepareContext = (*handedConn)(nil)
	_ driver.ExecerContext      = (*handedConn)(nil)
	_ driver.QueryerContext     = (*handedConn)(nil)
	_ driver.NamedValueChecker  = (*handedConn)(nil)
)

// CheckNamedValue leaves arguments to the driver of the transaction.
func (c *handedConn) CheckNamedValue(*driver.NamedValue) error { return nil }

// Close does nothing: the connection is the transaction's.
func (c *handedConn) Close() error { return nil }

func (c *handedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.t.exec(ctx, c, query, arguments(args))
}

func (c *handedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.t.stream(ctx, c, query, func(ctx context.Context) (*sql.Rows, error) {
		return c.t.tx.QueryContext(ctx, query, arguments(args)...)
	})
}

// Prepare is for database/sql, which calls PrepareContext.
func (c *handedConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *handedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	prepared, err := c.t.prepare(ctx, c, query)
	if err != nil {
		return nil, err
	}
	return &handedStmt{conn: c, query: query, prepared: prepared}, nil
}

// Begin is for database/sql, which calls BeginTx.
func (c *handedConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx sets a savepoint.
func (c *handedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	t := c.t
	if level := sql.IsolationLevel(o.Isolation); level > t.isolation {
		return nil, fmt.Errorf("sqlstore: BeginTx with isolation level %v: the transaction of the record is %v",
			level, t.isolation)
	}
	defer t.turn.Unlock()
	switch err := t.enter(ctx, "SAVEPOINT"); {
	case err != nil:
		return nil, err
	case t.savepoint != nil:
		return nil, ErrTxOpen
	}
	t.savepoints++
	s := &savepoint{conn: c, name: "oncemore_" + strconv.Itoa(t.savepoints)}
	ctx, release := t.bound(ctx)
	defer release()
	if _, err := t.tx.ExecContext(ctx, "SAVEPOINT "+s.name); err != nil {
		return nil, t.notice(err)
	}
	t.savepoint = s
	return s, nil
}

// savepoint is a transaction of the pool that [DB] hands out.
type savepoint struct {
	conn     *handedConn
	name     string
	passedBy bool // something was written past it
}

// Commit keeps what was written since the savepoint.
func (s *savepoint) Commit() error { return s.finish(s.release) }

// Rollback undoes what was written since the savepoint.
func (s *savepoint) Rollback() error { return s.finish(s.undo) }

// finish ends the savepoint in a call of its own.
func (s *savepoint) finish(end func(context.Context) error) error {
	t := s.conn.t
	defer t.turn.Unlock()
	switch err := t.enter(t.life, "SAVEPOINT"); {
	case err != nil:
		return err
	case t.savepoint != s:
		return sql.ErrTxDone
	}
	return t.notice(end(t.life))
}

func (s *savepoint) release(ctx context.Context) error {
	t := s.conn.t
	t.savepoint = nil
	_, err := t.tx.ExecContext(ctx, "RELEASE SAVEPOINT "+s.name)
	return err
}

func (s *savepoint) undo(ctx context.Context) error {
	t := s.conn.t
	if _, err := t.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+s.name); err != nil {
		t.savepoint = nil
		return err
	}
	err := s.release(ctx)
	if s.passedBy {
		t.mixed = true
		return errors.Join(ErrTxMixed, err)
	}
	return err
}

// handedStmt is a statement that was prepared through the pool.
type handedStmt struct {
	conn     *handedConn
	query    string
	prepared *sql.Stmt
}

var (
	_ driver.StmtExecContext  = (*handedStmt)(nil)
	_ driver.StmtQueryContext = (*handedStmt)(nil)
)

// CheckNamedValue leaves arguments to the driver of the transaction.
func (s *handedStmt) CheckNamedValue(*driver.NamedValue) error { return nil }

// NumInput leaves it to the driver of the transaction to count arguments.
func (s *handedStmt) NumInput() int { return -1 }
func (s *handedStmt) Close() error  { return s.prepared.Close() }

func (s *handedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	t := s.conn.t
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, s.conn, s.query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	defer release()
	result, err := s.prepared.ExecContext(ctx, arguments(args)...)
	return result, t.notice(err)
}

func (s *handedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.t.stream(ctx, s.conn, s.query, func(ctx context.Context) (*sql.Rows, error) {
		return s.prepared.QueryContext(ctx, arguments(args)...)
	})
}

// Exec is for database/sql, which calls ExecContext.
func (s *handedStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query is for database/sql, which calls QueryContext.
func (s *handedStmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// arguments undoes what database/sql has made of a call's arguments.
func arguments(values []driver.NamedValue) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v.Value
		if v.Name != "" {
			args[i] = sql.Named(v.Name, v.Value)
		}
	}
	return args
}
