package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// The rows of the table meta.
const (
	metaSchema   = "schema"   // the number of the migration that a program must know to use the tables
	metaRevision = "revision" // the number of the last migration, where it is greater
	metaID       = "id"       // the store's identity
)

// lastBreaking is the last migration after which older programs cannot use the
// tables. Those after it only add what has a default: both versions of a rolling
// upgrade work on the same tables, and may be started.
const lastBreaking = 1

// Migrate creates the tables of a store, oncemore_record and oncemore_meta, or
// upgrades them; programs that were built before an upgrade work on. Where the
// tables are up to date it only reads, so that a user who may not create tables
// can call it, too. It may be called by several instances at once: they wait for
// each other. Of options it heeds [WithDialect], [WithSchema] and
// [WithTablePrefix].
func Migrate(ctx context.Context, db *sql.DB, options ...Option) error {
	if db == nil {
		return errNilDB
	}
	o, err := newOptions(options)
	if err != nil {
		return err
	}
	t, err := o.findTables(ctx, db)
	if err == nil {
		err = t.migrate(ctx, db)
	}
	return o.explained(ctx, db, err)
}

var errNilDB = errors.New("sqlstore: the *sql.DB is nil: must be one that sql.Open returned")

// tables are the store's tables in a kind of database.
type tables struct {
	naming
	dialect    dialect
	migrations []migration
	asciiOnly  bool // the database may not know other characters
	texts      *recurring
}

// findTables finds out what the database is and where the tables are.
func (o *Options) findTables(ctx context.Context, db *sql.DB) (t tables, err error) {
	t.texts = new(recurring)
	if t.dialect, err = o.kind.implementation(ctx, db); err != nil {
		return t, err
	}
	if t.naming, err = o.findNaming(ctx, db, t.dialect); err != nil {
		return t, err
	}
	if t.asciiOnly, err = t.dialect.asciiOnly(ctx, db); err != nil {
		return t, err
	}
	t.migrations, err = readMigrations(t.dialect.folder())
	return t, err
}

func (t *tables) migrate(ctx context.Context, db *sql.DB) (err error) {
	if t.upToDate(ctx, db) {
		return nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	unlock, err := t.dialect.lockSchema(ctx, conn, t.schema)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", explained(err))
	}
	defer func() { err = errors.Join(err, unlock(context.WithoutCancel(ctx))) }()
	if err := t.applyMigrations(ctx, conn); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", explained(err))
	}
	return nil
}

// upToDate reports whether there is nothing to migrate. If that cannot be told,
// the migration will say why.
func (t *tables) upToDate(ctx context.Context, db *sql.DB) bool {
	have, _, err := t.version(ctx, db)
	if err != nil || have != len(t.migrations) {
		return false
	}
	id, err := t.meta(ctx, db, metaID)
	return err == nil && id != ""
}

// migration is the file NNNN_name.sql, number 1 and up. Its statements end with
// a semicolon and an empty line, and do no harm when repeated: MySQL cannot
// roll back a half of them.
type migration struct {
	name       string
	statements []string
}

func readMigrations(folder string) ([]migration, error) {
	entries, err := fs.ReadDir(migrations, folder)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: migrate: %w", err)
	}
	var list []migration
	for _, entry := range entries {
		text, err := fs.ReadFile(migrations, folder+"/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("sqlstore: migrate: %w", err)
		}
		list = append(list, migration{entry.Name(), strings.Split(string(text), ";\n\n")})
	}
	return list, nil
}

const createMeta = `CREATE TABLE IF NOT EXISTS {meta} (
	name VARCHAR(32) NOT NULL PRIMARY KEY, value VARCHAR(64) NOT NULL)`

func (t *tables) applyMigrations(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, t.expand.Replace(createMeta)); err != nil {
		return err
	}
	have, needed, err := t.version(ctx, conn)
	switch {
	case err != nil:
		return err
	case needed > len(t.migrations):
		return t.tooNew(needed)
	}
	for i := have; i < len(t.migrations); i++ {
		if err := t.apply(ctx, conn, t.migrations[i]); err != nil {
			return err
		}
		if err := t.setVersion(ctx, conn, i+1); err != nil {
			return err
		}
	}
	return t.makeID(ctx, conn)
}

func (t *tables) apply(ctx context.Context, conn *sql.Conn, m migration) error {
	for _, text := range m.statements {
		if err := t.dialect.alter(ctx, conn, t.expand.Replace(text)); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// unlessBusy makes a change to a table give way to the executions that use the
// table, whose successors would otherwise queue behind it: it waits for a moment,
// then lets them pass, and then for twice as long.
func unlessBusy(ctx context.Context, change func(wait time.Duration) error) error {
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		err := change(wait)
		if classify(err) != contended {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func (t *tables) tooNew(needed int) error {
	return fmt.Errorf("the tables are of version %d, and this program knows %d; run a newer one",
		needed, len(t.migrations))
}

// identify returns the identity of tables that this program can use.
func (t *tables) identify(ctx context.Context, db *sql.DB) (id string, err error) {
	have, needed, err := t.version(ctx, db)
	_, said := codeOf(err)
	switch {
	case err != nil && !said:
		return "", fmt.Errorf("sqlstore: reach the database: %w", err)
	case err != nil:
		return "", fmt.Errorf("sqlstore: read the table %s: %w; create the tables with Migrate or WithMigrate",
			t.shown("meta"), err)
	case have < len(t.migrations):
		return "", fmt.Errorf("sqlstore: the tables are of version %d of %d; upgrade them with Migrate or WithMigrate",
			have, len(t.migrations))
	case needed > len(t.migrations):
		return "", fmt.Errorf("sqlstore: %w", t.tooNew(needed))
	}
	if id, err = t.meta(ctx, db, metaID); err != nil {
		return "", fmt.Errorf("sqlstore: read the table %s: %w", t.shown("meta"), err)
	}
	if id == "" {
		return "", fmt.Errorf("sqlstore: the table %s has no id; run Migrate", t.shown("meta"))
	}
	return id, nil
}

// querier is what *sql.DB and *sql.Conn share, for the meta table.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the number of the last migration, 0 where there is none, and
// of the one that a program must know.
func (t *tables) version(ctx context.Context, q querier) (have, needed int, err error) {
	if needed, err = t.number(ctx, q, metaSchema); err != nil {
		return 0, 0, err
	}
	have, err = t.number(ctx, q, metaRevision)
	return max(have, needed), needed, err
}

func (t *tables) number(ctx context.Context, q querier, name string) (int, error) {
	value, err := t.meta(ctx, q, name)
	if err != nil || value == "" {
		return 0, err
	}
	return strconv.Atoi(value)
}

func (t *tables) setVersion(ctx context.Context, q querier, n int) error {
	if n <= lastBreaking {
		return t.setMeta(ctx, q, metaSchema, strconv.Itoa(n))
	}
	return t.setMeta(ctx, q, metaRevision, strconv.Itoa(n))
}

// meta returns a value, empty if there is none. Names are constants.
func (t *tables) meta(ctx context.Context, q querier, name string) (value string, err error) {
	query := t.expand.Replace("SELECT value FROM {meta} WHERE name = '" + name + "'")
	err = q.QueryRowContext(ctx, query).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// setMeta needs nobody else to write. Names and values are letters and digits.
func (t *tables) setMeta(ctx context.Context, q querier, name, value string) error {
	old, err := t.meta(ctx, q, name)
	query := "UPDATE {meta} SET value = '" + value + "' WHERE name = '" + name + "'"
	switch {
	case err != nil:
		return err
	case old == "":
		query = "INSERT INTO {meta} (name, value) VALUES ('" + name + "', '" + value + "')"
	}
	_, err = q.ExecContext(ctx, t.expand.Replace(query))
	return err
}

// makeID gives the store an identity unless it has one.
func (t *tables) makeID(ctx context.Context, q querier) error {
	id, err := t.meta(ctx, q, metaID)
	if err != nil || id != "" {
		return err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	return t.setMeta(ctx, q, metaID, hex.EncodeToString(random[:]))
}
