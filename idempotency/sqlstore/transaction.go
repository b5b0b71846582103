package sqlstore

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// transaction is what a handler gets. Statements come from [Tx], directly, or
// from the connections of [DB].
type transaction struct {
	tx        *sql.Tx
	life      context.Context // ends when the execution has taken too long, or ended
	until     time.Time       // when life ends; zero for not by itself
	isolation sql.IsolationLevel
	session   *session // nil if it is not the store's

	turn    sync.Mutex // held during each call, and for what follows
	ended   bool
	used    bool
	altered bool  // perhaps, the session
	lost    error // that of a statement which lost against another transaction
	mixed   bool  // a savepoint was rolled back, and more than it should

	handed     *sql.DB    // what DB returns
	savepoint  *savepoint // that is open
	savepoints int        // so far
	streaming  *rows      // of DB that are still being sent
}

// end waits for a call in progress and lets no more in. A savepoint and rows that
// are still open end too.
func (t *transaction) end(ctx context.Context) error {
	t.turn.Lock()
	defer t.turn.Unlock()
	if t.ended {
		return nil
	}
	t.ended = true
	return t.closeHanded(ctx)
}

func (t *transaction) isOver() bool {
	t.turn.Lock()
	defer t.turn.Unlock()
	return t.ended
}

// enter begins a call: it must be left, with turn.Unlock, even after an error.
func (t *transaction) enter(ctx context.Context, query string) error {
	t.turn.Lock()
	switch {
	case t.ended:
		return sql.ErrTxDone
	case controls(query):
		return ErrTxControl
	}
	t.used = true
	if t.streaming != nil { // the connection must be free
		t.streaming.readAll()
	}
	if t.altered || leavesSession(query) {
		return nil
	}
	t.altered = true
	if t.session == nil {
		return nil
	}
	return t.session.dialect.capture(ctx, t.session)
}

// enterBy begins a call by a connection of DB's pool, nil for none of them.
func (t *transaction) enterBy(ctx context.Context, by *handedConn, query string) error {
	err := t.enter(ctx, query)
	if err == nil && t.savepoint != nil && t.savepoint.conn != by && !reads(query) {
		t.savepoint.passedBy = true
	}
	return err
}

// notice returns the error of a statement, and remembers it if it is that of a
// transaction which has lost against another: the handler may ignore it. It
// belongs into a call.
func (t *transaction) notice(err error) error {
	if err != nil && classify(err) == conflict {
		t.lost = err
	}
	return err
}

// lifetime ends with an execution, and has the values of a context that does
// not end.
type lifetime struct {
	context.Context //nolint:containedctx // it is one
	values          context.Context
}

// Value prefers the caller's values. What is asked for by package context itself
// is found in the execution's.
func (l lifetime) Value(key any) any {
	if v := l.values.Value(key); v != nil {
		return v
	}
	return l.Context.Value(key)
}

// sharedEnd returns a context that ends no later than the execution, without
// being told of its end. ok is false if ctx has to be told.
func (t *transaction) sharedEnd(ctx context.Context) (_ context.Context, ok bool) {
	switch deadline, has := ctx.Deadline(); {
	case t.until.IsZero(), has && !deadline.After(t.until):
		return ctx, true
	case ctx.Done() == nil:
		return lifetime{t.life, ctx}, true
	}
	return ctx, false
}

// bound returns ctx, which also ends with the execution.
func (t *transaction) bound(ctx context.Context) (_ context.Context, release func()) {
	if shared, ok := t.sharedEnd(ctx); ok {
		return shared, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.life, func() { cancel(context.Cause(t.life)) })
	return ctx, func() { stop(); cancel(nil) }
}

// ExecContext is [sql.Tx.ExecContext].
func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.exec(ctx, nil, query, args)
}

func (t *transaction) exec(ctx context.Context, by *handedConn, query string, args []any) (sql.Result, error) {
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, by, query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	defer release()
	result, err := t.tx.ExecContext(ctx, query, args...)
	return result, t.notice(err)
}

// QueryContext is [sql.Tx.QueryContext]. Rows whose context would have to be told
// of the execution's end, until they are closed, come from the pool, which knows
// when that is.
func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	shared, ok := t.sharedEnd(ctx)
	if !ok && !t.isOver() {
		return t.pool().QueryContext(ctx, query, args...) //nolint:sqlclosecheck // they are the handler's
	}
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, nil, query); err != nil {
		return nil, err
	}
	rows, err := t.tx.QueryContext(shared, query, args...) //nolint:sqlclosecheck // they are the handler's
	return rows, t.notice(err)
}

// QueryRowContext is [sql.Tx.QueryRowContext].
func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	shared, ok := t.sharedEnd(ctx)
	if !ok && !t.isOver() {
		return t.pool().QueryRowContext(ctx, query, args...)
	}
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, nil, query); err != nil {
		return refusedRow(err)
	}
	row := t.tx.QueryRowContext(shared, query, args...)
	_ = t.notice(row.Err()) // Scan returns it
	return row
}

// PrepareContext is [sql.Tx.PrepareContext].
func (t *transaction) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return t.prepare(ctx, nil, query)
}

func (t *transaction) prepare(ctx context.Context, by *handedConn, query string) (*sql.Stmt, error) {
	defer t.turn.Unlock()
	if err := t.enterBy(ctx, by, query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	defer release()
	return t.tx.PrepareContext(ctx, query) //nolint:sqlclosecheck // it is the handler's
}
