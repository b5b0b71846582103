// Package storeurl parses STORE, which says where hello-srv keeps its ledger
// and the records of the calls it has executed.
package storeurl

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// Variable is the environment variable that a store is read from.
const Variable = "STORE"

// Kind says what sort of store it is.
type Kind string

// The kinds of store, each written as the scheme of its value.
const (
	Memory   Kind = "memory"
	SQLite   Kind = "sqlite"
	Redis    Kind = "redis"
	MySQL    Kind = "mysql"
	Postgres Kind = "postgres"
	None     Kind = "none"
)

const allowed = "memory:, sqlite:PATH, redis://HOST:PORT/DB, mysql://USER:PASSWORD@HOST:PORT/DATABASE, " +
	"postgres://USER:PASSWORD@HOST:PORT/DATABASE or none:"

// Store is a parsed value. The zero value is not a store: use Parse.
type Store struct {
	Kind Kind
	// Path is the database file of a SQLite store.
	Path string
	// URL is the address of a Redis, MySQL or Postgres store, password included.
	URL *url.URL
}

// String is the value as it may be logged: without a password.
func (s Store) String() string {
	switch {
	case s.URL != nil:
		shown := *s.URL
		shown.RawQuery = "" // which may hold a password, too
		return shown.Redacted()
	default:
		return string(s.Kind) + ":" + s.Path
	}
}

// DefaultPath is the database file that is used when none is named: every
// instance on this machine finds the same one.
func DefaultPath() string {
	return filepath.Join(os.TempDir(), "oncemore-hello-srv.db")
}

// Parse parses a value of STORE; an empty one means sqlite: on DefaultPath. Its
// error is a *setting.Error, in which a password is hidden.
func Parse(value string) (Store, error) {
	if value == "" {
		return Store{Kind: SQLite, Path: DefaultPath()}, nil
	}
	scheme, rest, found := strings.Cut(value, ":")
	if !found {
		return Store{}, notAllowed(value)
	}
	switch kind := Kind(scheme); kind {
	case "rediss": // over TLS
		return parseServer(Redis, value)
	case Memory, None:
		if rest != "" {
			return Store{}, notAllowed(value)
		}
		return Store{Kind: kind}, nil
	case SQLite:
		return parseSQLite(value, rest)
	case Redis, MySQL, Postgres:
		return parseServer(kind, value)
	default:
		return Store{}, notAllowed(value)
	}
}

// parseSQLite refuses what SQLite would read as an URI or as options, so that
// the path that is logged is the file that is used.
func parseSQLite(value, path string) (Store, error) {
	if path == "" {
		path = DefaultPath()
	}
	if strings.ContainsAny(path, "?#%") || strings.HasPrefix(path, "//") {
		return Store{}, notAllowed(value)
	}
	return Store{Kind: SQLite, Path: path}, nil
}

func parseServer(kind Kind, value string) (Store, error) {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return Store{}, notAllowed(value)
	}
	if kind != Redis && strings.Trim(u.Path, "/") == "" { // in no database
		return Store{}, notAllowed(value)
	}
	if u.Query().Has("password") { // where it would not be hidden from logs
		return Store{}, notAllowed(value)
	}
	return Store{Kind: kind, URL: u}, nil
}

// IsDatabase tells whether the store is one that can hold a ledger, too.
func (s Store) IsDatabase() bool {
	return s.Kind == SQLite || s.Kind == MySQL || s.Kind == Postgres
}

// Environment is the setting that makes Parse return s, password included, for
// the environment of another process.
func (s Store) Environment() string {
	if s.URL != nil {
		return s.URL.String()
	}
	return string(s.Kind) + ":" + s.Path
}

func notAllowed(value string) error {
	return &setting.Error{Name: Variable, Value: redact(value), Allowed: allowed}
}

// redact hides everything between the scheme and the last @, parsable or not,
// and the query of what is or looks like a URL.
func redact(value string) string {
	if before, _, found := strings.Cut(value, "?"); found && strings.Contains(before, "://") {
		value = before + "?…"
	}
	at := strings.LastIndex(value, "@")
	if at < 0 {
		return value
	}
	scheme, _, found := strings.Cut(value[:at], "://")
	if !found {
		return "…" + value[at:]
	}
	return scheme + "://…" + value[at:]
}
