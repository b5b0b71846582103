package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// postgres makes duplicates wait at the unique index: an INSERT waits for the
// transaction that has inserted the key, and succeeds if that one rolls back.
type postgres struct{}

func (postgres) folder() string { return "migrations/postgres" }

func (postgres) rewrite(text string) string {
	return strings.NewReplacer(
		"{now}", "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
		"{forupdate}", "FOR UPDATE",
		"{onconflict}", "ON CONFLICT (store_key) DO NOTHING",
	).Replace(text)
}

func (postgres) quote(name string) string { return quoteWith(`"`, name) }

// schema takes a name that needs no quotes in a literal.
func (d postgres) schema(ctx context.Context, db *sql.DB, table string) (string, error) {
	var name sql.NullString
	err := db.QueryRowContext(ctx, `SELECT COALESCE((SELECT n.nspname FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = pg_catalog.to_regclass('`+d.quote(table)+`')), pg_catalog.current_schema())`).Scan(&name)
	switch {
	case err != nil:
		return "", fmt.Errorf("sqlstore: reach the database: %w", err)
	case !name.Valid:
		return "", errors.New("sqlstore: no schema of the search_path exists; create one, or name another by WithSchema")
	}
	return name.String, nil
}

func (postgres) database(ctx context.Context, db *sql.DB) (name string, err error) {
	err = db.QueryRowContext(ctx, "SELECT pg_catalog.current_database()").Scan(&name)
	return name, err
}

func (postgres) asciiOnly(ctx context.Context, db *sql.DB) (bool, error) {
	var encoding string
	err := db.QueryRowContext(ctx, "SELECT pg_catalog.current_setting('server_encoding')").Scan(&encoding)
	if err != nil {
		return false, fmt.Errorf("sqlstore: reach the database: %w", err)
	}
	return encoding != "UTF8", nil
}

// alter gives way to executions, up to the savepoint.
func (postgres) alter(ctx context.Context, conn *sql.Conn, text string) error {
	if _, err := conn.ExecContext(ctx, "SAVEPOINT oncemore"); err != nil {
		return err
	}
	return unlessBusy(ctx, func(wait time.Duration) error {
		_, err := conn.ExecContext(ctx, "SET LOCAL lock_timeout = "+strconv.FormatInt(milliseconds(wait), 10)+"; "+text)
		if classify(err) == contended {
			_, errBack := conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT oncemore")
			err = errors.Join(err, errBack)
		}
		return err
	})
}

func (postgres) parameter(n int) string { return "$" + strconv.Itoa(n) }

func (postgres) prepares() bool { return false }

func (postgres) check(ctx context.Context, db *sql.DB) error {
	var standby bool
	switch err := db.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&standby); {
	case err != nil:
		return fmt.Errorf("sqlstore: check the database: %w", err)
	case standby:
		return errors.New("sqlstore: the server is a standby; connect to the primary")
	}
	return nil
}

// schemaLock is the number of the lock for migrations: "oncemore" in ASCII.
const schemaLock = 0x6f6e63656d6f7265

// lockSchema begins a transaction, because a lock of the session would stay
// behind in a proxy that shares connections between transactions. It must see
// what others have done while it waited.
func (postgres) lockSchema(ctx context.Context, conn *sql.Conn, _ string) (func(context.Context) error, error) {
	end := func(ctx context.Context) error {
		_, err := conn.ExecContext(ctx, "COMMIT") // which rolls back if a statement has failed
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
		return nil, errors.Join(err, end(context.WithoutCancel(ctx)))
	}
	return end, nil
}

func (postgres) begin(ctx context.Context, s *session, o beginning) error {
	if err := s.beginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}); err != nil {
		return err
	}
	var before, set string
	// 0 would be for ever. A host that vanished without a word holds its locks
	// until the server has found its transaction idle for too long.
	err := s.tx.QueryRowContext(ctx, `SELECT current_setting('lock_timeout'), set_config('lock_timeout', $1, true) ||
		set_config('idle_in_transaction_session_timeout', $2, true)`,
		strconv.FormatInt(max(1, milliseconds(o.wait)), 10),
		strconv.FormatInt(max(1, milliseconds(o.timeout)), 10)).Scan(&before, &set)
	s.restore = "SET LOCAL lock_timeout = '" + strings.ReplaceAll(before, "'", "''") + "'; SAVEPOINT oncemore"
	return err
}

func (postgres) patience(left time.Duration) time.Duration { return left }

// claimed sends both statements at once.
func (postgres) claimed(ctx context.Context, s *session) error {
	_, err := s.tx.ExecContext(ctx, s.restore)
	return err
}

// capture has the server write the statements that put back what a handler may set,
// such as a role that may not write. Only what has changed is set, so that the
// session is left alone. A transaction that was made READ ONLY is so up to the end
// of the savepoint.
func (postgres) capture(ctx context.Context, s *session) error {
	return s.tx.QueryRowContext(ctx, `SELECT pg_catalog.format('RELEASE SAVEPOINT oncemore;
		SELECT pg_catalog.set_config(name, value, false) FROM (VALUES
		(''session_authorization'', %L), (''role'', %L), (''search_path'', %L), (''statement_timeout'', %L)
		) AS before (name, value) WHERE pg_catalog.current_setting(name) <> value; ',
		pg_catalog.current_setting('session_authorization'), pg_catalog.current_setting('role'),
		pg_catalog.current_setting('search_path'), pg_catalog.current_setting('statement_timeout'))`).Scan(&s.takeBack)
}

// settle sends all statements at once where the session has to be put back; hence
// the values are written out, which no setting changes the meaning of.
func (postgres) settle(ctx context.Context, s *session, t table, c *claim, record []byte) (mine bool, err error) {
	if s.takeBack == "" {
		mine, err = t.finish(ctx, c, record)
		if err == nil && !mine { // then the savepoint tells whether the transaction is the same
			_, err = s.tx.ExecContext(ctx, "RELEASE SAVEPOINT oncemore")
		}
		return mine, savepointGone(err)
	}
	result, err := s.tx.ExecContext(ctx, t.finishWritten(s.takeBack, c, record))
	if err != nil {
		return false, savepointGone(err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func (postgres) undo(ctx context.Context, s *session, _ func(context.Context) error) error {
	_, err := s.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT oncemore")
	return savepointGone(err)
}

// savepointGone returns ErrTxEnded for an error that says so.
func savepointGone(err error) error {
	switch c, _ := codeOf(err); c.sqlState {
	case "3B001", "25P01": // no such savepoint; no transaction
		return errors.Join(ErrTxEnded, err)
	}
	return err
}

func (postgres) held(ctx context.Context, s *Store, key idempotency.StoreKey) (bool, error) {
	return rowHeld(ctx, s, key)
}

func (postgres) isolation() sql.IsolationLevel { return sql.LevelReadCommitted }

func (postgres) commit(ctx context.Context, s *session) (over bool, err error) {
	return false, s.boundTx(ctx, s.tx.Commit)
}

func (postgres) rollback(ctx context.Context, s *session) (over bool, err error) {
	return false, s.boundTx(ctx, s.tx.Rollback)
}

// hangUp has nothing to do: pgx closes a connection whose context ends.
func (postgres) hangUp(*session) {}

// yield has nothing to add to the wait that begin was given.
func (postgres) yield(context.Context, *session) error { return nil }
