package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Dialect is the kind of database. The zero value means: ask the database.
type Dialect uint8

// The databases that a store can be kept in.
const (
	// MySQL is MySQL 8 or MariaDB 10.6, or later, with InnoDB.
	MySQL Dialect = iota + 1
	// PostgreSQL is PostgreSQL 12 or later.
	PostgreSQL
	// SQLite is SQLite 3.35 or later, in WAL mode.
	SQLite
)

// String names the dialect.
func (d Dialect) String() string {
	switch d {
	case MySQL:
		return "MySQL"
	case PostgreSQL:
		return "PostgreSQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

//go:embed migrations
var migrations embed.FS

// dialect is what databases do differently.
type dialect interface {
	sqlText
	surroundings
	transacting
	handling
}

// sqlText is how a database is talked to.
type sqlText interface {
	// folder is where the migrations are.
	folder() string
	// rewrite puts a text of [statements] into the database's own words.
	rewrite(text string) string
	// parameter is what the n-th parameter of a statement is called.
	parameter(n int) string
	// quote quotes an identifier.
	quote(name string) string
	// prepares says whether statements should be prepared once per connection.
	prepares() bool
}

// surroundings are what the tables are in.
type surroundings interface {
	// check returns an error that says what the database lacks.
	check(ctx context.Context, db *sql.DB) error
	// schema is where a table is that is called by its name alone, or would be
	// created.
	schema(ctx context.Context, db *sql.DB, table string) (string, error)
	// database names what has the schemas: a database, or a file.
	database(ctx context.Context, db *sql.DB) (string, error)
	// asciiOnly says whether the database may be unable to keep other text.
	asciiOnly(ctx context.Context, db *sql.DB) (bool, error)
	// lockSchema waits on the connection until no other instance migrates the
	// tables in the schema; unlock ends that.
	lockSchema(ctx context.Context, conn *sql.Conn, schema string) (unlock func(context.Context) error, err error)
	// alter executes a statement of a migration under lockSchema.
	alter(ctx context.Context, conn *sql.Conn, text string) error
}

// transacting is how a key is claimed for the time of a transaction.
type transacting interface {
	// begin begins a transaction on s, which waits at most wait for what others
	// hold. An error that classifies as contended says that it had to wait
	// longer.
	begin(ctx context.Context, s *session, o beginning) error
	// patience is how long one attempt to begin may wait, of the time left.
	patience(left time.Duration) time.Duration
	// isolation is the level of the transactions.
	isolation() sql.IsolationLevel
	// commit and rollback end the transaction and give back whatever begin took,
	// within ctx. over says that the session has been disposed of as well. The
	// outcome of a commit that fails may be unknown.
	commit(ctx context.Context, s *session) (over bool, err error)
	rollback(ctx context.Context, s *session) (over bool, err error)
	// held reports whether a transaction has claimed a key, and is in the way of
	// those who claim it no longer than they wait.
	held(ctx context.Context, s *Store, key idempotency.StoreKey) (bool, error)
	// yield makes statements of the session wait for rows only briefly, where
	// begin does not see to that.
	yield(ctx context.Context, s *session) error
	// hangUp closes the connection under the session, whose server then rolls
	// back.
	hangUp(s *session)
}

// handling is how a transaction is lent to a handler.
type handling interface {
	// claimed ends the bound on waiting and marks where undo goes back to.
	claimed(ctx context.Context, s *session) error
	// capture remembers what the session is like, before a handler changes it.
	capture(ctx context.Context, s *session) error
	// settle puts back what the handler has set for the session, and makes the
	// claim's row done; false says that it is not the claim's. The error is
	// ErrTxEnded where that is because the handler has ended the transaction.
	settle(ctx context.Context, s *session, t table, c *claim, record []byte) (mine bool, err error)
	// undo takes back what was written and set since claimed. reclaim claims the
	// row again, where the claim goes with the rest. The error is ErrTxEnded as in
	// settle.
	undo(ctx context.Context, s *session, reclaim func(context.Context) error) error
}

// beginning is what a transaction is begun for.
type beginning struct {
	lock    string        // the name of the key's lock
	wait    time.Duration // how long to wait for others
	timeout time.Duration // how long the transaction may last
}

func (d Dialect) implementation(ctx context.Context, db *sql.DB) (dialect, error) {
	if d == 0 {
		var err error
		if d, err = detect(ctx, db); err != nil {
			return nil, err
		}
	}
	switch d {
	case MySQL:
		return newMySQL(ctx, db)
	case PostgreSQL:
		return postgres{}, nil
	case SQLite:
		return sqlite{}, nil
	}
	return nil, fmt.Errorf("sqlstore: %v is not supported", d)
}

// explained says of an error that the database is of another kind than it was said to
// be, if it is. Of a kind that is not known it says nothing: it may speak the dialect.
func (o *Options) explained(ctx context.Context, db *sql.DB, err error) error {
	if err == nil || o.kind == 0 {
		return err
	}
	found, unknown := detect(ctx, db)
	if unknown != nil || found == o.kind {
		return err
	}
	return fmt.Errorf("sqlstore: WithDialect(%v): must be %v, which the database is: %w", o.kind, found, err)
}

// detect asks the database what it is.
func detect(ctx context.Context, db *sql.DB) (Dialect, error) {
	var version string
	errServer := db.QueryRowContext(ctx, "SELECT version()").Scan(&version)
	switch _, said := codeOf(errServer); {
	case errServer != nil && !said: // no use asking again
		return 0, fmt.Errorf("sqlstore: reach the database: %w", errServer)
	case strings.HasPrefix(version, "PostgreSQL "):
		return PostgreSQL, nil
	case version != "" && version[0] >= '0' && version[0] <= '9':
		return MySQL, nil
	case version != "":
		return 0, fmt.Errorf("sqlstore: database %q is not supported; give a dialect that it speaks by WithDialect", version)
	}
	errFile := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
	if errFile != nil {
		return 0, fmt.Errorf("sqlstore: find out what the database is: %w; name it by WithDialect",
			errors.Join(errServer, errFile))
	}
	return SQLite, nil
}
