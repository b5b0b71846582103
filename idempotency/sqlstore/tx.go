package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"unicode"
)

// Querier is a transaction as its handler sees it, and what *sql.DB, *sql.Conn
// and *sql.Tx have in common: code that is written against it works with and
// without a key.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// ErrTxControl is returned to a handler that tries to begin, commit or roll back
// its transaction, or to change autocommit: its end is not the handler's to
// choose. Savepoints of its own are. A statement is judged by its first words,
// so that a COMMIT behind another statement in one text goes unnoticed: do not
// send several at once.
var ErrTxControl = errors.New("sqlstore: the transaction commits with the handler's answer; " +
	"return an error to roll it back, or use a savepoint")

// Tx returns the transaction in which the handler that runs under ctx must do
// its writes: they commit together with the record of its answer, or not at
// all. ok is false if there is none, because the call has no key or its store
// is detached; then the handler uses its own *sql.DB.
//
// The transaction ends when the handler returns; later uses get
// [sql.ErrTxDone], and rows that are still open by then are an error. It is as
// safe for concurrent use as a *sql.Tx. Its isolation level is READ COMMITTED,
// on SQLite serializable.
func Tx(ctx context.Context) (q Querier, ok bool) {
	if t := transactionFrom(ctx); t != nil {
		return t, true
	}
	return nil, false
}

// NoWrites declares that the handler that runs under ctx writes nothing, this
// time, so that its success without a statement on [Tx] is no mistake. Without
// a transaction it does nothing.
func NoWrites(ctx context.Context) {
	if t := transactionFrom(ctx); t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.used = true
	}
}

// transactionKey finds the *transaction of a context.
type transactionKey struct{}

func transactionFrom(ctx context.Context) *transaction {
	t, _ := ctx.Value(transactionKey{}).(*transaction)
	return t
}

// transaction is what a handler gets.
type transaction struct {
	tx   *sql.Tx
	life context.Context // ends when the execution has taken too long, or ended

	calls sync.RWMutex // held for reading during each call
	ended bool

	mu   sync.Mutex
	used bool
}

// end waits for calls in progress and lets no more in.
func (t *transaction) end() {
	t.calls.Lock()
	defer t.calls.Unlock()
	t.ended = true
}

func (t *transaction) wasUsed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// enter begins a call: it must be left, with calls.RUnlock, even after an error.
func (t *transaction) enter(query string) error {
	t.calls.RLock()
	switch {
	case t.ended:
		return sql.ErrTxDone
	case controls(query):
		return ErrTxControl
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = true
	return nil
}

// bound returns ctx, which also ends with the execution.
func (t *transaction) bound(ctx context.Context) (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.life, func() { cancel(context.Cause(t.life)) })
	return ctx, func() { stop(); cancel(nil) }
}

// ExecContext is [sql.Tx.ExecContext].
func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	defer t.calls.RUnlock()
	if err := t.enter(query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	defer release()
	return t.tx.ExecContext(ctx, query, args...)
}

// QueryContext is [sql.Tx.QueryContext].
func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	defer t.calls.RUnlock()
	if err := t.enter(query); err != nil {
		return nil, err
	}
	ctx, _ = t.bound(ctx)                         // the rows need it until the end
	return t.tx.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // they are the handler's
}

// QueryRowContext is [sql.Tx.QueryRowContext].
func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	defer t.calls.RUnlock()
	if err := t.enter(query); err != nil {
		return refusedRow(err)
	}
	ctx, _ = t.bound(ctx) // as in QueryContext
	return t.tx.QueryRowContext(ctx, query, args...)
}

// PrepareContext is [sql.Tx.PrepareContext].
func (t *transaction) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	defer t.calls.RUnlock()
	if err := t.enter(query); err != nil {
		return nil, err
	}
	ctx, release := t.bound(ctx)
	defer release()
	return t.tx.PrepareContext(ctx, query) //nolint:sqlclosecheck // it is the handler's
}

// controls reports whether a statement would end the transaction, by its first
// words: what follows in the same text is not looked at.
func controls(query string) bool {
	first, rest := nextWord(query)
	second, _ := nextWord(rest)
	switch first {
	case "BEGIN", "START", "COMMIT", "END", "ABORT":
		return true
	case "ROLLBACK":
		return second != "TO"
	case "PREPARE":
		return second == "TRANSACTION"
	case "SET":
		return strings.Contains(strings.ToUpper(rest), "AUTOCOMMIT")
	}
	return false
}

// nextWord returns the next word of a statement, in upper case, and what comes
// after it. Comments before it are skipped, unless the server executes them:
// /*! and /*M! begin a word.
func nextWord(text string) (word, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v;")
		var end string
		switch {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#"):
			end = "\n"
		case strings.HasPrefix(text, "/*!"), strings.HasPrefix(text, "/*M!"):
			text = strings.TrimLeft(text, "/*M!0123456789")
			continue
		case strings.HasPrefix(text, "/*"):
			end = "*/"
		default:
			length := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
			if length < 0 {
				length = len(text)
			}
			return strings.ToUpper(text[:length]), text[length:]
		}
		_, text, _ = strings.Cut(text, end)
	}
}
