package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// mysql is MySQL and MariaDB. A second INSERT of a key must not be what makes a
// duplicate wait: when the first rolls back, all waiters but one die of
// deadlock. So a lock by name (GET_LOCK) is taken first.
type mysql struct {
	// mariadb waits for a lock in fractions of a second; MySQL in seconds.
	mariadb bool
}

func newMySQL(ctx context.Context, db *sql.DB) (dialect, error) {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return nil, fmt.Errorf("sqlstore: reach the database: %w", err)
	}
	return mysql{mariadb: strings.Contains(version, "MariaDB")}, nil
}

func (mysql) folder() string { return "migrations/mysql" }

func (mysql) rewrite(text string) string {
	return strings.NewReplacer(
		// Time zones have hours that come twice, so no NOW().
		"{now}", "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))",
		"{forupdate}", "FOR UPDATE",
		"{onconflict}", "",
	).Replace(text)
}

func (mysql) quote(name string) string { return quoteWith("`", name) }

func (mysql) schema(ctx context.Context, db *sql.DB, _ string) (string, error) {
	var name sql.NullString
	err := db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&name)
	switch {
	case err != nil:
		return "", fmt.Errorf("sqlstore: reach the database: %w", err)
	case name.String == "":
		return "", errors.New("sqlstore: connections have no database; name one in the data source name, or by WithSchema")
	}
	return name.String, nil
}

// database has nothing to say: a schema is one.
func (mysql) database(context.Context, *sql.DB) (string, error) { return "", nil }

func (mysql) asciiOnly(context.Context, *sql.DB) (bool, error) { return false, nil }

// alter gives way to executions. A column that is there was added by a migration
// that did not get to say so.
func (mysql) alter(ctx context.Context, conn *sql.Conn, text string) error {
	const duplicateColumn = 1060
	if _, err := conn.ExecContext(ctx, "SET @oncemore_wait = @@SESSION.lock_wait_timeout"); err != nil {
		return err
	}
	err := unlessBusy(ctx, func(wait time.Duration) error {
		_, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = "+strconv.FormatInt(seconds(wait), 10))
		if err == nil {
			_, err = conn.ExecContext(ctx, text)
		}
		return err
	})
	if c, _ := codeOf(err); c.mysql == duplicateColumn {
		err = nil
	}
	_, errBack := conn.ExecContext(context.WithoutCancel(ctx), "SET SESSION lock_wait_timeout = @oncemore_wait")
	return errors.Join(err, errBack)
}

func (mysql) parameter(int) string { return "?" }

func (mysql) prepares() bool { return true }

func (mysql) check(ctx context.Context, db *sql.DB) error {
	var autocommit bool
	switch err := db.QueryRowContext(ctx, "SELECT @@SESSION.autocommit").Scan(&autocommit); {
	case err != nil:
		return fmt.Errorf("sqlstore: check the database: %w", err)
	case !autocommit:
		return errors.New("sqlstore: connections have autocommit=0; take it out of the data source name")
	}
	return nil
}

func (mysql) lockSchema(ctx context.Context, conn *sql.Conn, schema string) (func(context.Context) error, error) {
	name := fmt.Sprintf("'oncemore/%.20x'", sha256.Sum256([]byte(schema)))
	var got sql.NullInt64
	// The wait is bounded by ctx, not by the server.
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", 86400)").Scan(&got); err != nil {
		return nil, err
	}
	if got.Int64 != 1 {
		return nil, errLockKilled
	}
	return func(ctx context.Context) error {
		_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK("+name+")")
		return err
	}, nil
}

var errLockKilled = errors.New("sqlstore: the server ended the wait for a lock; begin again")

func (d mysql) begin(ctx context.Context, s *session, o beginning) error {
	var got sql.NullInt64
	var idleTimeout int64
	err := s.conn.QueryRowContext(ctx, "SELECT GET_LOCK('"+o.lock+"', "+d.lockWait(o.wait)+"), @@SESSION.wait_timeout").
		Scan(&got, &idleTimeout)
	switch {
	case err != nil:
		return err
	case !got.Valid:
		return errLockKilled
	case got.Int64 == 0:
		return errContended
	}
	s.restore = "SET autocommit = 1, wait_timeout = " + strconv.FormatInt(idleTimeout, 10) +
		", @oncemore = RELEASE_LOCK('" + o.lock + "')"
	// autocommit=0, because a handler that goes on after a deadlock has rolled
	// its transaction back would otherwise commit statement by statement; the
	// timeout, because a host that vanished without a word holds its locks
	// until the server hangs up.
	_, err = s.conn.ExecContext(ctx,
		"SET autocommit = 0, wait_timeout = "+strconv.FormatInt(seconds(o.timeout)+1, 10))
	if err != nil {
		return err
	}
	return s.beginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
}

// lockWait never is negative, which would be for ever.
func (d mysql) lockWait(wait time.Duration) string {
	if d.mariadb {
		return strconv.FormatFloat(wait.Seconds(), 'f', 3, 64)
	}
	return strconv.FormatInt(seconds(wait), 10)
}

// patience is short, since a longer wait than the driver's readTimeout ends with
// the connection.
func (mysql) patience(left time.Duration) time.Duration { return min(left, 500*time.Millisecond) }

func (mysql) claimed(context.Context, *session) error { return nil }

// sessionNumbers are variables of a session that can make the store's own
// statements fail or mean something else.
func (d mysql) sessionNumbers() []string {
	if d.mariadb {
		return []string{"tx_read_only", "sql_select_limit", "max_statement_time"}
	}
	return []string{"transaction_read_only", "sql_select_limit"}
}

func (d mysql) capture(ctx context.Context, s *session) error {
	var query strings.Builder
	query.WriteString("SELECT CONCAT('SET timestamp = DEFAULT, sql_mode = ', QUOTE(@@SESSION.sql_mode), " +
		"', completion_type = ', QUOTE(@@SESSION.completion_type), '")
	for _, name := range d.sessionNumbers() {
		query.WriteString(", " + name + " = ', @@SESSION." + name + ", '")
	}
	query.WriteString("'), DATABASE(), CURRENT_ROLE()")
	var text string
	var schema, role sql.NullString
	if err := s.tx.QueryRowContext(ctx, query.String()).Scan(&text, &schema, &role); err != nil {
		return err
	}
	s.putBack = []string{"SET ROLE " + d.roles(role.String), text}
	if schema.String != "" {
		s.putBack = append(s.putBack, "USE "+d.quote(schema.String))
	}
	return nil
}

// roles is what SET ROLE calls what CURRENT_ROLE has returned: on MariaDB the name
// of one role, on MySQL a list of names in quotes.
func (d mysql) roles(current string) string {
	switch {
	case current == "":
		return "NONE"
	case d.mariadb:
		return d.quote(current)
	}
	return current
}

func (mysql) settle(
	ctx context.Context, s *session, t table, c *claim, record []byte,
) (mine bool, err error) {
	if err := s.resume(ctx); err != nil {
		return false, err
	}
	return t.finish(ctx, c, record)
}

// held asks for the lock without taking it.
func (mysql) held(ctx context.Context, s *Store, key idempotency.StoreKey) (held bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+s.lockName(key)+"') IS NOT NULL").Scan(&held)
	return held, err
}

func (mysql) isolation() sql.IsolationLevel { return sql.LevelReadCommitted }

// undo begins anew: the lock, which the session keeps, lets nobody between.
func (mysql) undo(ctx context.Context, s *session, reclaim func(context.Context) error) error {
	if err := s.resume(ctx); err != nil { // completion_type concerns ROLLBACK
		return err
	}
	if _, err := s.tx.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err
	}
	// autocommit=0 begins a transaction with the next statement.
	if _, err := s.tx.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err != nil {
		return err
	}
	return reclaim(ctx)
}

// commit does not leave it to Tx.Commit, which this driver does not bound.
func (d mysql) commit(ctx context.Context, s *session) (over bool, err error) {
	if _, err := s.tx.ExecContext(ctx, "COMMIT"); err != nil {
		return false, err
	}
	if over, err = d.end(ctx, s); err != nil {
		s.discard() // committed all the same
		over = true
	}
	return over, nil
}

func (d mysql) rollback(ctx context.Context, s *session) (over bool, err error) {
	if err := s.resume(ctx); err != nil {
		return false, err
	}
	if _, err := s.tx.ExecContext(ctx, "ROLLBACK"); err != nil {
		return false, err
	}
	return d.end(ctx, s)
}

func (mysql) end(ctx context.Context, s *session) (over bool, err error) {
	if _, err := s.tx.ExecContext(ctx, s.restore); err != nil {
		return false, err
	}
	return s.dropTx(ctx)
}

func (mysql) hangUp(s *session) { hangUpConn(s.conn) }

// yield waits for a second, the least there is.
func (mysql) yield(ctx context.Context, s *session) error {
	var before int64
	if err := s.tx.QueryRowContext(ctx, "SELECT @@SESSION.innodb_lock_wait_timeout").Scan(&before); err != nil {
		return err
	}
	s.restore += ", innodb_lock_wait_timeout = " + strconv.FormatInt(before, 10)
	_, err := s.tx.ExecContext(ctx, "SET innodb_lock_wait_timeout = 1")
	return err
}
