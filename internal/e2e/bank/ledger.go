package bank

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// ledger is a table without a unique index.
type ledger struct {
	kind Kind // of the database
	db   *sql.DB
}

// openLedger opens the database; source is a data source name, or SQLite's file.
func openLedger(kind Kind, source string) (*ledger, error) {
	if kind == MariaDB { // its driver logs every connection that breaks
		if err := mysql.SetLogger(new(mysql.NopLogger)); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open(map[Kind]string{MariaDB: "mysql", Postgres: "pgx", SQLite: "sqlite"}[kind], source)
	if err != nil {
		return nil, fmt.Errorf("bank: open the ledger: %w", err)
	}
	db.SetMaxIdleConns(20)
	return &ledger{kind: kind, db: db}, nil
}

// sqliteSource is the data source name of a file that several processes share.
func sqliteSource(path string) string {
	options := url.Values{}
	options.Add("_pragma", "busy_timeout(30000)")
	options.Add("_pragma", "journal_mode(WAL)")
	options.Add("_txlock", "immediate")
	return path + "?" + options.Encode()
}

func (l *ledger) create(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, `CREATE TABLE ledger (
		service VARCHAR(100) NOT NULL, endpoint VARCHAR(100) NOT NULL, caller VARCHAR(100) NOT NULL,
		entry_key VARCHAR(255) NOT NULL, receipt VARCHAR(255) NOT NULL)`)
	if err != nil {
		return fmt.Errorf("bank: create the ledger: %w", err)
	}
	return nil
}

// LedgerFailed is what the error of a handler begins with that could not write
// its row.
const LedgerFailed = "bank: enter into the ledger"

// enter adds a row: in the transaction of the execution, if there is one.
func (l *ledger) enter(ctx context.Context, scope idempotency.Scope, receipt string) error {
	var q sqlstore.Querier = l.db
	if tx, ok := sqlstore.Tx(ctx); ok {
		q = tx
	}
	_, err := q.ExecContext(ctx, l.numbered(
		"INSERT INTO ledger (service, endpoint, caller, entry_key, receipt) VALUES (?, ?, ?, ?, ?)"),
		scope.Service, scope.Endpoint, scope.Caller, scope.Key, receipt)
	if err != nil {
		return fmt.Errorf(LedgerFailed+": %w", err)
	}
	return nil
}

// receipts returns the receipts of all rows of a key, whatever the service,
// endpoint and caller.
func (l *ledger) receipts(ctx context.Context, key string) (receipts []string, err error) {
	rows, err := l.db.QueryContext(ctx, l.numbered("SELECT receipt FROM ledger WHERE entry_key = ?"), key)
	if err != nil {
		return nil, fmt.Errorf("bank: read the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var receipt string
		if err := rows.Scan(&receipt); err != nil {
			return nil, fmt.Errorf("bank: read the ledger: %w", err)
		}
		receipts = append(receipts, receipt)
	}
	return receipts, rows.Err()
}

// numbered gives the parameters of a statement the form that PostgreSQL wants.
func (l *ledger) numbered(statement string) string {
	if l.kind != Postgres {
		return statement
	}
	var b strings.Builder
	n := 0
	for _, r := range statement {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}
