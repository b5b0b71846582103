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
)

// The rows of oncemore_meta.
const (
	metaSchema = "schema" // the number of the last migration
	metaID     = "id"     // the store's identity
)

// Migrate creates the tables of a store, oncemore_record and oncemore_meta, or
// upgrades them. Where they are up to date it only reads, so that a user who
// may not create tables can call it, too. It may be called by several instances
// at once: they wait for each other. Of options it heeds [WithDialect].
func Migrate(ctx context.Context, db *sql.DB, options ...Option) error {
	if db == nil {
		return errNilDB
	}
	o, err := newOptions(options)
	if err != nil {
		return err
	}
	d, err := o.dialect.implementation(ctx, db)
	if err != nil {
		return err
	}
	return migrate(ctx, db, d)
}

var errNilDB = errors.New("sqlstore: the *sql.DB is nil")

func migrate(ctx context.Context, db *sql.DB, d dialect) (err error) {
	list, err := readMigrations(d.folder())
	if err != nil {
		return err
	}
	if upToDate(ctx, db, len(list)) {
		return nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	unlock, err := d.lockSchema(ctx, conn)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer func() { err = errors.Join(err, unlock(context.WithoutCancel(ctx))) }()
	if err := applyMigrations(ctx, conn, list); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	return nil
}

// upToDate reports whether there is nothing to migrate. If that cannot be told,
// the migration will say why.
func upToDate(ctx context.Context, db *sql.DB, known int) bool {
	have, err := schemaVersion(ctx, db)
	if err != nil || have != known {
		return false
	}
	id, err := meta(ctx, db, metaID)
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

const createMeta = `CREATE TABLE IF NOT EXISTS oncemore_meta (name VARCHAR(32) NOT NULL PRIMARY KEY, value VARCHAR(64) NOT NULL)`

func applyMigrations(ctx context.Context, conn *sql.Conn, list []migration) error {
	if _, err := conn.ExecContext(ctx, createMeta); err != nil {
		return err
	}
	have, err := schemaVersion(ctx, conn)
	switch {
	case err != nil:
		return err
	case have > len(list):
		return tooNew(have, len(list))
	}
	for i, m := range list[have:] {
		for _, text := range m.statements {
			if _, err := conn.ExecContext(ctx, text); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		if err := setMeta(ctx, conn, metaSchema, strconv.Itoa(have+i+1)); err != nil {
			return err
		}
	}
	return makeID(ctx, conn)
}

func tooNew(have, known int) error {
	return fmt.Errorf("the tables are of version %d, and this program knows %d; run a newer one", have, known)
}

// querier is what *sql.DB and *sql.Conn share, for the meta table.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// schemaVersion is 0 where there is none.
func schemaVersion(ctx context.Context, q querier) (int, error) {
	value, err := meta(ctx, q, metaSchema)
	if err != nil || value == "" {
		return 0, err
	}
	return strconv.Atoi(value)
}

// meta returns a value, empty if there is none. Names are constants.
func meta(ctx context.Context, q querier, name string) (value string, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM oncemore_meta WHERE name = '"+name+"'").Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// setMeta needs nobody else to write. Names and values are letters and digits.
func setMeta(ctx context.Context, q querier, name, value string) error {
	old, err := meta(ctx, q, name)
	switch {
	case err != nil:
		return err
	case old == "":
		_, err = q.ExecContext(ctx, "INSERT INTO oncemore_meta (name, value) VALUES ('"+name+"', '"+value+"')")
	default:
		_, err = q.ExecContext(ctx, "UPDATE oncemore_meta SET value = '"+value+"' WHERE name = '"+name+"'")
	}
	return err
}

// makeID gives the store an identity unless it has one.
func makeID(ctx context.Context, q querier) error {
	id, err := meta(ctx, q, metaID)
	if err != nil || id != "" {
		return err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	return setMeta(ctx, q, metaID, hex.EncodeToString(random[:]))
}
