package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/urfave/cli/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// The flags that say where the store is, and how the services use it.
const (
	flagStore         = "store"
	flagPrefix        = "table-prefix"
	flagSchema        = "schema"
	flagRetention     = "retention"
	flagReleaseMemory = "release-memory"
	flagTimeout       = "timeout"
)

const allowedStores = "sqlite:PATH, mysql://USER:PASSWORD@HOST:PORT/DATABASE, " +
	"postgres://USER:PASSWORD@HOST:PORT/DATABASE, redis://… or rediss://…"

func storeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagStore, Usage: "where the store is: `URL` is " + allowedStores, Sources: cli.EnvVars("ONCEMORE_STORE")},
		&cli.StringFlag{Name: flagPrefix, Usage: "what the tables' names begin with, where the services say so (sqlstore.WithTablePrefix)"},
		&cli.StringFlag{Name: flagSchema, Usage: "the schema of the tables, where the services say so (sqlstore.WithSchema)"},
		&cli.DurationFlag{Name: flagRetention, Value: 24 * time.Hour, Usage: "how long the services keep a record (idempotency.WithRetention)"},
		&cli.DurationFlag{Name: flagReleaseMemory, Value: 10 * time.Minute, Usage: "how long they remember a release (idempotency.WithReleaseMemory)"},
		&cli.DurationFlag{Name: flagTimeout, Value: 15 * time.Second, Usage: "how long the store may take to answer"},
	}
}

// opened is a store and a guard over it.
type opened struct {
	idempotency.Inspector
	guard *idempotency.Guard
	close func() error
}

// open opens the store that the flags name. Its logs go to stderr.
func open(ctx context.Context, c *cli.Command) (*opened, error) {
	value := c.String(flagStore)
	if value == "" {
		return nil, usage("no store: set ONCEMORE_STORE, or --%s, to %s", flagStore, allowedStores)
	}
	for _, name := range []string{flagRetention, flagReleaseMemory, flagTimeout} {
		if d := c.Duration(name); d <= 0 {
			return nil, usage("--%s %v: must be more than 0s", name, d)
		}
	}
	logger := slog.New(slog.NewTextHandler(c.Root().ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, closeStore, err := openStore(ctx, value, c, logger)
	if err != nil {
		return nil, err
	}
	o := &opened{close: closeStore}
	var ok bool
	if o.Inspector, ok = store.(idempotency.Inspector); !ok {
		return nil, errors.Join(fmt.Errorf("a %T cannot be looked into", store), closeStore())
	}
	o.guard, err = idempotency.New(store, idempotency.WithLogger(logger), idempotency.WithInstance(operator()),
		idempotency.WithRetention(c.Duration(flagRetention)), idempotency.WithReleaseMemory(c.Duration(flagReleaseMemory)),
		idempotency.WithStoreTimeout(c.Duration(flagTimeout)))
	if err != nil {
		return nil, errors.Join(usage("--%s, --%s or --%s: %w", flagRetention, flagReleaseMemory, flagTimeout, err), closeStore())
	}
	return o, nil
}

// operator names this process in what it logs.
func operator() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("operator@%s:%d", host, os.Getpid())
}

// tablePrefix is what sqlstore takes for one, and nothing.
var tablePrefix = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,39})?$`)

func openStore(ctx context.Context, value string, c *cli.Command, logger *slog.Logger) (idempotency.Store, func() error, error) {
	scheme, _, _ := strings.Cut(value, ":")
	switch scheme {
	case "redis", "rediss":
		if c.String(flagPrefix) != "" || c.String(flagSchema) != "" {
			return nil, nil, usage("--%s and --%s are for databases: Redis has neither", flagPrefix, flagSchema)
		}
		store, err := redisstore.Open(ctx, value)
		switch {
		case errors.Is(err, redisstore.ErrURL):
			return nil, nil, usage("--%s: %w", flagStore, err)
		case err != nil:
			return nil, nil, err
		}
		return store, store.Close, nil
	case "sqlite", "mysql", "postgres", "postgresql":
		if prefix := c.String(flagPrefix); !tablePrefix.MatchString(prefix) {
			return nil, nil, usage("--%s %q: must be up to 40 letters, digits and underscores, no digit first", flagPrefix, prefix)
		}
		switch schema := c.String(flagSchema); {
		case scheme == "sqlite" && schema != "":
			return nil, nil, usage("--%s is for MySQL and PostgreSQL: SQLite has none", flagSchema)
		case len(schema) > 64 || !utf8.ValidString(schema):
			return nil, nil, usage("--%s %q: must be the name of a schema, 1 to 64 bytes", flagSchema, schema)
		}
		return openDatabase(ctx, scheme, value, c, logger)
	default:
		return nil, nil, usage("--%s %s: must be %s", flagStore, redacted(value), allowedStores)
	}
}

// openDatabase opens a store in a database, whose tables it does not make.
func openDatabase(
	ctx context.Context, scheme, value string, c *cli.Command, logger *slog.Logger,
) (idempotency.Store, func() error, error) {
	driver, source, err := sourceOf(scheme, value)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open(driver, source)
	if err != nil { // it may repeat the password
		return nil, nil, usage("--%s %s: must be %s", flagStore, redacted(value), allowedStores)
	}
	store, err := sqlstore.New(ctx, db, databaseOptions(c, logger)...)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", redacted(value), err), db.Close())
	}
	return store, func() error { return errors.Join(store.Close(), db.Close()) }, nil
}

func databaseOptions(c *cli.Command, logger *slog.Logger) []sqlstore.Option {
	options := []sqlstore.Option{sqlstore.WithSweepInterval(0), sqlstore.WithLogger(logger)}
	if prefix := c.String(flagPrefix); prefix != "" {
		options = append(options, sqlstore.WithTablePrefix(prefix))
	}
	if schema := c.String(flagSchema); schema != "" {
		options = append(options, sqlstore.WithSchema(schema))
	}
	return options
}

// busyTimeout is how long SQLite waits for another process's transaction.
const busyTimeout = 5 * time.Second

// sourceOf returns a driver and its name for a database.
func sourceOf(scheme, value string) (driver, source string, err error) {
	if scheme == "sqlite" {
		return sqliteSource(value)
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return "", "", usage("--%s %s: must be %s", flagStore, redacted(value), allowedStores)
	}
	if scheme == "mysql" {
		return "mysql", mysqlSource(u), nil
	}
	return "pgx", u.String(), nil
}

// sqliteSource refuses a file that is not there: SQLite would make one.
func sqliteSource(value string) (driver, source string, err error) {
	path := strings.TrimPrefix(value, "sqlite:")
	if strings.ContainsAny(path, "?#%") || strings.HasPrefix(path, "//") || path == "" {
		return "", "", usage("--%s %s: must be sqlite: and a path without ?, # or %%", flagStore, value)
	}
	if _, err := os.Stat(path); err != nil { //nolint:gosec // the operator's own file
		return "", "", fmt.Errorf("%s: %w", value, err)
	}
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}}
	return "sqlite", path + "?" + options.Encode(), nil
}

// mysqlSource turns a URL into what the driver takes; the query is the driver's own.
func mysqlSource(u *url.URL) string {
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", u.Host
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.Trim(u.Path, "/")
	source := config.FormatDSN()
	switch {
	case u.RawQuery == "":
		return source
	case strings.Contains(source, "?"):
		return source + "&" + u.RawQuery
	}
	return source + "?" + u.RawQuery
}

// redacted hides everything between the scheme and the last @, and the query.
func redacted(value string) string {
	if before, _, found := strings.Cut(value, "?"); found {
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
