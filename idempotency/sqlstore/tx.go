package sqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// Querier is a transaction as its handler sees it, and what *sql.DB, *sql.Conn
// and *sql.Tx have in common: code that is written against it works with and
// without a key. So does what sqlc generates.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// ErrTxControl is returned to a handler that tries to begin, commit or roll back
// its transaction by a statement, or to change autocommit: its end is not the
// handler's to choose. Savepoints of its own are, and so are the transactions of
// [DB]. A statement is judged by its first words. A COMMIT or ROLLBACK behind
// another statement in one text, or in a procedure, is noticed when the handler
// has returned: then nobody knows what lasts of its work, and the key is held as
// one whose outcome is unknown ([ErrTxEnded]).
var ErrTxControl = errors.New("sqlstore: the transaction commits with the handler's answer; " +
	"return an error to roll it back, or use a savepoint")

// ErrTxEnded is returned by Complete and Release when the handler has ended its
// transaction in a way that was not refused. What it did is not known, so that
// the key is left as an orphan.
var ErrTxEnded = errors.New("sqlstore: the handler has ended its transaction, by a COMMIT or ROLLBACK behind " +
	"another statement or in a procedure; what lasts of its work is not known")

// Tx returns the transaction in which the handler that runs under ctx must do
// its writes: they commit together with the record of its answer, or not at
// all. ok is false if there is none, because the call has no key or its store
// is detached; then the handler uses its own *sql.DB. Code that wants a *sql.DB
// or a *sql.Tx takes [DB].
//
// The transaction ends when the handler returns; later uses get
// [sql.ErrTxDone], and rows that are still open by then are an error. It is as
// safe for concurrent use as a *sql.Tx. Its isolation level is READ COMMITTED,
// on SQLite serializable. What the handler sets for its session (a role, a
// search path, a time-out) does not reach the store's own statements.
func Tx(ctx context.Context) (q Querier, ok bool) {
	if t := transactionFrom(ctx); t != nil {
		return t, true
	}
	return nil, false
}

// DB returns the transaction of [Tx] in the shape of a pool, for code that wants
// one: gorm, ent, bun, sqlx, and whatever begins transactions of its own. All
// that is done through it, on whichever of its connections, is done in the one
// transaction. A transaction that is begun on it, and hence the *sql.Tx that
// code may ask for, is a savepoint: its Commit keeps its writes for the
// handler's answer to commit, its Rollback undoes them. One that is still open
// when the handler returns is rolled back.
//
// One of them is open at a time ([ErrTxOpen]), and it cannot have an isolation
// level above that of [Tx]; further ones inside of it are savepoints. What is
// written past it while it is open is undone with it: its Rollback then is an
// error ([ErrTxMixed]), and so is the call.
//
// The rows of a query are read into memory when another statement is sent before
// they are closed. A connection's Raw shows no driver's own type. The pool is
// closed when the handler returns. It must not be kept, and need not be closed.
func DB(ctx context.Context) (db *sql.DB, ok bool) {
	if t := transactionFrom(ctx); t != nil {
		return t.pool(), true
	}
	return nil, false
}

// NewContext returns a context under which [Tx] and [DB] find tx, which stays
// the caller's: to unit-test a handler, and to run one that has no key in a
// transaction all the same. What [DB] gives ends with ctx, so ctx must end, as
// that of a test does.
func NewContext(ctx context.Context, tx *sql.Tx) context.Context {
	t := &transaction{tx: tx, life: ctx, isolation: sql.LevelLinearizable}
	return context.WithValue(ctx, transactionKey{}, t)
}

// NoWrites declares that the handler that runs under ctx writes nothing, this
// time, so that its success without a statement on [Tx] is no mistake. Without
// a transaction it does nothing.
func NoWrites(ctx context.Context) {
	if t := transactionFrom(ctx); t != nil {
		t.turn.Lock()
		defer t.turn.Unlock()
		t.used = true
	}
}

// transactionKey finds the *transaction of a context.
type transactionKey struct{}

func transactionFrom(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	return t
}
