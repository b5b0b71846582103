package ledger

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// dialect is what databases do differently.
type dialect struct {
	driver string
	// source is the driver's name for a database.
	source func(storeurl.Store) (string, error)
	// schema is run in one transaction. No index on the key is unique: see the
	// package comment.
	schema []string
	// raise makes a key's fence at least that of the second parameter.
	raise string
	// numbered: parameters are $1, $2, … instead of question marks.
	numbered bool
}

func dialectOf(kind storeurl.Kind) (dialect, error) {
	switch kind {
	case storeurl.SQLite:
		return sqlite(), nil
	case storeurl.MySQL:
		return mariadb(), nil
	case storeurl.Postgres:
		return postgres(), nil
	default:
		return dialect{}, fmt.Errorf("%s: cannot hold a ledger", kind)
	}
}

func sqlite() dialect {
	return dialect{
		driver: "sqlite",
		source: sqliteSource,
		schema: []string{
			`CREATE TABLE IF NOT EXISTS hello_transfer (
				transfer_id     TEXT NOT NULL PRIMARY KEY,
				student         TEXT NOT NULL,
				amount_cents    INTEGER NOT NULL,
				idempotency_key TEXT NOT NULL,
				instance        TEXT NOT NULL,
				created_at      TEXT NOT NULL
			) STRICT`,
			`CREATE INDEX IF NOT EXISTS hello_transfer_student ON hello_transfer (student, amount_cents)`,
			`CREATE INDEX IF NOT EXISTS hello_transfer_key ON hello_transfer (idempotency_key)`,
			`CREATE TABLE IF NOT EXISTS hello_fence (
				idempotency_key TEXT NOT NULL PRIMARY KEY,
				fence           INTEGER NOT NULL
			) STRICT`,
		},
		raise: `INSERT INTO hello_fence (idempotency_key, fence) VALUES (?, ?)
			ON CONFLICT (idempotency_key) DO UPDATE SET fence = MAX(hello_fence.fence, excluded.fence)`,
	}
}

func mariadb() dialect {
	return dialect{
		driver: "mysql",
		source: mysqlSource,
		schema: []string{
			`CREATE TABLE IF NOT EXISTS hello_transfer (
				transfer_id     VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
				student         VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
				amount_cents    BIGINT NOT NULL,
				idempotency_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
				instance        VARCHAR(255) NOT NULL,
				created_at      VARCHAR(40) NOT NULL,
				INDEX hello_transfer_student (student, amount_cents),
				INDEX hello_transfer_key (idempotency_key)
			) ENGINE = InnoDB`,
			`CREATE TABLE IF NOT EXISTS hello_fence (
				idempotency_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
				fence           BIGINT NOT NULL
			) ENGINE = InnoDB`,
		},
		raise: `INSERT INTO hello_fence (idempotency_key, fence) VALUES (?, ?)
			ON DUPLICATE KEY UPDATE fence = GREATEST(fence, VALUES(fence))`,
	}
}

func postgres() dialect {
	return dialect{
		driver: "pgx",
		source: func(where storeurl.Store) (string, error) { return where.URL.String(), nil },
		schema: []string{
			// CREATE … IF NOT EXISTS fails where two of them run at once.
			`SELECT pg_advisory_xact_lock(hashtext('hello_transfer'))`,
			`CREATE TABLE IF NOT EXISTS hello_transfer (
				transfer_id     VARCHAR(36) NOT NULL PRIMARY KEY,
				student         VARCHAR(64) NOT NULL,
				amount_cents    BIGINT NOT NULL,
				idempotency_key VARCHAR(255) COLLATE "C" NOT NULL,
				instance        VARCHAR(255) NOT NULL,
				created_at      VARCHAR(40) NOT NULL
			)`,
			`CREATE INDEX IF NOT EXISTS hello_transfer_student ON hello_transfer (student, amount_cents)`,
			`CREATE INDEX IF NOT EXISTS hello_transfer_key ON hello_transfer (idempotency_key)`,
			`CREATE TABLE IF NOT EXISTS hello_fence (
				idempotency_key VARCHAR(255) COLLATE "C" NOT NULL PRIMARY KEY,
				fence           BIGINT NOT NULL
			)`,
		},
		raise: `INSERT INTO hello_fence (idempotency_key, fence) VALUES (?, ?)
			ON CONFLICT (idempotency_key) DO UPDATE SET fence = GREATEST(hello_fence.fence, excluded.fence)`,
		numbered: true,
	}
}

// busyTimeout is how long a statement waits for another process's transaction.
const busyTimeout = 5 * time.Second

// sqliteSource asks for write-ahead logging, so that readers do not wait for
// writers, and for transactions that take the write lock as they begin, so that
// two of them wait for each other instead of one failing halfway.
func sqliteSource(where storeurl.Store) (string, error) {
	options := url.Values{}
	options.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	options.Add("_pragma", "journal_mode(WAL)")
	options.Add("_txlock", "immediate")
	return where.Path + "?" + options.Encode(), nil
}

// mysqlSource turns a URL into what the driver takes. The URL's query is the
// driver's own, as in mysql://host/database?tls=true.
func mysqlSource(where storeurl.Store) (string, error) {
	u := where.URL
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", u.Host
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.Trim(u.Path, "/")
	source := c.FormatDSN()
	if u.RawQuery == "" {
		return source, nil
	}
	if strings.Contains(source, "?") {
		return source + "&" + u.RawQuery, nil
	}
	return source + "?" + u.RawQuery, nil
}

// words puts a statement into the database's own words.
func (d dialect) words(statement string) string {
	if !d.numbered {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, r := range statement {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
