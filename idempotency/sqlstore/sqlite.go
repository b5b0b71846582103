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

// sqlite has one write lock for all keys, which is taken by the first
// statement of a claim, and held until its execution has ended.
type sqlite struct{}

func (sqlite) folder() string { return "migrations/sqlite" }

func (sqlite) rewrite(text string) string {
	return strings.NewReplacer(
		"{now}", "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)",
		"{forupdate}", "",
		"{onconflict}", "ON CONFLICT (store_key) DO NOTHING",
	).Replace(text)
}

func (sqlite) quote(name string) string { return quoteWith(`"`, name) }

var errNoSchema = errors.New("sqlstore: WithSchema: SQLite has no schemas; " +
	"open another file, or tell stores apart by WithTablePrefix")

func (sqlite) schema(context.Context, *sql.DB, string) (string, error) { return "main", nil }

func (sqlite) database(ctx context.Context, db *sql.DB) (file string, err error) {
	err = db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file)
	return file, err
}

func (sqlite) asciiOnly(context.Context, *sql.DB) (bool, error) { return false, nil }

// alter has the write lock.
func (sqlite) alter(ctx context.Context, conn *sql.Conn, text string) error {
	_, err := conn.ExecContext(ctx, text)
	return err
}

func (sqlite) parameter(int) string { return "?" }

func (sqlite) prepares() bool { return true }

func (sqlite) check(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: check the database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var mode string
	var busy int64
	errMode := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
	errBusy := conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busy)
	switch err := errors.Join(errMode, errBusy); {
	case err != nil:
		return fmt.Errorf("sqlstore: check the database: %w", err)
	case !strings.EqualFold(mode, "wal"):
		return fmt.Errorf("sqlstore: PRAGMA journal_mode is %s; open a file with _pragma=journal_mode(WAL), "+
			"or with mattn/go-sqlite3 _journal_mode=WAL", mode)
	case busy == 0:
		return errors.New("sqlstore: PRAGMA busy_timeout is 0; open the file with _pragma=busy_timeout(5000), " +
			"or with mattn/go-sqlite3 _busy_timeout=5000")
	}
	return nil
}

// lockSchema takes the write lock.
func (sqlite) lockSchema(ctx context.Context, conn *sql.Conn, _ string) (func(context.Context) error, error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}, nil
}

func (d sqlite) begin(ctx context.Context, s *session, o beginning) error {
	var busy int64
	if err := s.conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busy); err != nil {
		return err
	}
	s.restore = "PRAGMA busy_timeout = " + strconv.FormatInt(busy, 10)
	// SQLite does not notice a cancelled context while it waits.
	_, err := s.conn.ExecContext(ctx, "PRAGMA busy_timeout = "+strconv.FormatInt(milliseconds(o.wait), 10))
	if err != nil {
		return err
	}
	err = s.beginTx(ctx, nil)
	if classify(err) == contended {
		return errors.Join(err, d.restore(ctx, s))
	}
	return err
}

// patience is short, since a wait in SQLite cannot be cancelled.
func (sqlite) patience(left time.Duration) time.Duration { return min(left, 50*time.Millisecond) }

func (sqlite) claimed(ctx context.Context, s *session) error {
	_, err := s.tx.ExecContext(ctx, "SAVEPOINT oncemore")
	return err
}

func (sqlite) capture(_ context.Context, s *session) error {
	s.putBack = []string{"PRAGMA query_only = OFF"}
	return nil
}

func (sqlite) settle(
	ctx context.Context, s *session, t table, c *claim, record []byte,
) (mine bool, err error) {
	if err := s.resume(ctx); err != nil {
		return false, err
	}
	mine, err = t.finish(ctx, c, record)
	if err == nil && !mine { // then the savepoint tells whether the transaction is the same
		err = s.atSavepoint(ctx, "RELEASE SAVEPOINT oncemore")
	}
	return mine, err
}

func (sqlite) undo(ctx context.Context, s *session, _ func(context.Context) error) error {
	if err := s.atSavepoint(ctx, "ROLLBACK TO SAVEPOINT oncemore"); err != nil {
		return err
	}
	return s.resume(ctx)
}

// atSavepoint executes a statement that fails as mistaken if there is no savepoint.
func (s *session) atSavepoint(ctx context.Context, query string) error {
	_, err := s.tx.ExecContext(ctx, query)
	if c, _ := codeOf(err); c.sqlite&0xff == 1 {
		return errors.Join(ErrTxEnded, err)
	}
	return err
}

func (sqlite) held(ctx context.Context, s *Store, key idempotency.StoreKey) (bool, error) {
	return rowHeld(ctx, s, key)
}

func (sqlite) isolation() sql.IsolationLevel { return sql.LevelSerializable }

func (d sqlite) commit(ctx context.Context, s *session) (over bool, err error) {
	if err := s.tx.Commit(); err != nil {
		return false, err
	}
	if over = d.restore(ctx, s) != nil; over {
		s.discard() // committed all the same
	}
	return over, nil
}

func (d sqlite) rollback(ctx context.Context, s *session) (over bool, err error) {
	return false, errors.Join(s.resume(ctx), s.tx.Rollback(), d.restore(ctx, s))
}

func (sqlite) restore(ctx context.Context, s *session) error {
	_, err := s.conn.ExecContext(context.WithoutCancel(ctx), s.restore)
	return err
}

func (sqlite) hangUp(*session) {}

// yield has nothing to add to the wait that begin was given.
func (sqlite) yield(context.Context, *session) error { return nil }
