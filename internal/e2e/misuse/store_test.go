package misuse

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

var ofMemory = []wrong{
	{"memstore.New", "option 0 is nil", "leave it out instead", func(*testing.T) error {
		_, err := memstore.New(nil)
		return named("New", err)
	}},
	{"memstore.WithMaxEntries", "(0)", "at least 1", fails(memstore.New(memstore.WithMaxEntries(0)))},
	{"memstore.WithMaxBytes", "(-1)", "at least 1", fails(memstore.New(memstore.WithMaxBytes(-1)))},
	{"memstore.WithClock", "(nil)", "given a clock", fails(memstore.New(memstore.WithClock(nil)))},
}

// onRedis makes a store over a client that has dialled nobody yet: what is wrong is
// found before.
func onRedis(opts ...redisstore.Option) func(*testing.T) error {
	return func(t *testing.T) error {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, ReadTimeout: time.Second})
		defer func() { must(t, c.Close()) }()
		_, err := redisstore.New(t.Context(), c, opts...)
		return err
	}
}

// opensRedis opens a store by a URL.
func opensRedis(url string) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := redisstore.Open(t.Context(), url)
		return named("Open", err)
	}
}

var ofRedis = []wrong{
	{"redisstore.New", "nil", "a *redis.Client or a *redis.ClusterClient", func(t *testing.T) error {
		_, err := redisstore.New(t.Context(), nil)
		return err
	}},
	{"redisstore.Open", "scheme", "redis or rediss", opensRedis("http://127.0.0.1")},
	{"redisstore.Open", "not shown, as it may hold a password", "like redis://user:password@host:6379/0", opensRedis("redis://:12#34@host")},
	{"redisstore.WithPrefix", `("")`, "1 to 128 bytes without braces", onRedis(redisstore.WithPrefix(""))},
	{"redisstore.WithPrefix", `("{shop}:")`, "1 to 128 bytes without braces", onRedis(redisstore.WithPrefix("{shop}:"))},
	{"redisstore.WithReplicas", "(0, 1s)", "at least 1", onRedis(redisstore.WithReplicas(0, time.Second))},
	{"redisstore.WithReplicas", "(1, 1µs)", "at least 1ms", onRedis(redisstore.WithReplicas(1, time.Microsecond))},
	{"redisstore.WithReplicas", "(1, 2s)", "less than the client's ReadTimeout of 1s", onRedis(redisstore.WithReplicas(1, 2*time.Second))},
}

// onSQLite makes a store in a new file.
func onSQLite(opts ...sqlstore.Option) func(*testing.T) error {
	return func(t *testing.T) error {
		return makes(t, "sqlite", filepath.Join(t.TempDir(), "records.db")+
			"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate", opts)
	}
}

// onPostgres makes a store on a server of its own.
func onPostgres(opts ...sqlstore.Option) func(*testing.T) error {
	return func(t *testing.T) error { return makes(t, "pgx", servertest.StartPostgres(t).DSN(), opts) }
}

// makes opens a store, and closes it where that went well.
func makes(t *testing.T, driver, dsn string, opts []sqlstore.Option) error {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	s, err := sqlstore.New(t.Context(), db, append(opts, sqlstore.WithMigrate())...)
	if err == nil {
		must(t, s.Close())
	}
	return err
}

var ofSQL = []wrong{
	{"sqlstore.New", "nil", "must be", func(t *testing.T) error {
		_, err := sqlstore.New(t.Context(), nil)
		return named("New", err)
	}},
	{"sqlstore.WithDialect", "(Dialect(9))", "MySQL, PostgreSQL or SQLite", onSQLite(sqlstore.WithDialect(9))},
	{"sqlstore.WithDialect", "(PostgreSQL)", "must be SQLite", onSQLite(sqlstore.WithDialect(sqlstore.PostgreSQL))},
	{"sqlstore.WithDialect", "(MySQL)", "must be SQLite", onSQLite(sqlstore.WithDialect(sqlstore.MySQL))},
	{"sqlstore.WithDialect", "(SQLite)", "must be PostgreSQL", onPostgres(sqlstore.WithDialect(sqlstore.SQLite))},
	{"sqlstore.WithDialect", "(MySQL)", "must be PostgreSQL", onPostgres(sqlstore.WithDialect(sqlstore.MySQL))},
	{"sqlstore.WithSchema", `("")`, "the name of a schema", onSQLite(sqlstore.WithSchema(""))},
	{"sqlstore.WithSchema", "SQLite has no schemas", "tell stores apart by WithTablePrefix", onSQLite(sqlstore.WithSchema("shop"))},
	{"sqlstore.WithTablePrefix", `("1st_")`, "no digit first", onSQLite(sqlstore.WithTablePrefix("1st_"))},
	{"sqlstore.WithTablePrefix", "xxxx", "1 to 40 letters", onSQLite(sqlstore.WithTablePrefix(strings.Repeat("x", 41)))},
	{"sqlstore.WithCache", "(nil)", "given a cache", onSQLite(sqlstore.WithCache(nil))},
	{"sqlstore.WithMaxWaiters", "(0)", "at least 1", onSQLite(sqlstore.WithMaxWaiters(0))},
	{"sqlstore.WithMaxWaiters", "WithDetached", "leave it out", onSQLite(sqlstore.WithMaxWaiters(3), sqlstore.WithDetached())},
	{"sqlstore.WithSweepInterval", "(-1s)", "at least 0", onSQLite(sqlstore.WithSweepInterval(-time.Second))},
	{"sqlstore.WithLogger", "(nil)", "given a logger", onSQLite(sqlstore.WithLogger(nil))},
	{"sqlstore.WithTxOptional", "WithDetached", "leave it out", onSQLite(sqlstore.WithTxOptional(), sqlstore.WithDetached())},
}
