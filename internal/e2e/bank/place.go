//go:build linux

package bank

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// Place is where the instances of a bank keep their records and their ledger.
type Place struct {
	Kind Kind
	// Server is the store's; nil for SQLite.
	Server *servertest.Server

	source, ledgerSource string
	ledger               *ledger
}

// Open starts the server of a store, with the arguments given, and creates the
// ledger. All ends with the test.
func Open(tb testing.TB, kind Kind, args ...string) *Place {
	tb.Helper()
	p := &Place{Kind: kind}
	file := sqliteSource(filepath.Join(tb.TempDir(), "bank.db"))
	ledgerKind := kind
	switch kind {
	case Redis:
		p.Server, ledgerKind = servertest.StartRedis(tb, args...), SQLite
		p.source, p.ledgerSource = p.Server.URL(), file
	case MariaDB:
		p.Server = servertest.StartMariaDB(tb, args...)
		p.source, p.ledgerSource = p.Server.DSN(), p.Server.DSN()
	case Postgres:
		p.Server = servertest.StartPostgres(tb, args...)
		p.source, p.ledgerSource = p.Server.DSN(), p.Server.DSN()
	case SQLite:
		p.source, p.ledgerSource = file, file
	}
	p.openLedger(tb, ledgerKind)
	return p
}

func (p *Place) openLedger(tb testing.TB, kind Kind) {
	tb.Helper()
	l, err := openLedger(kind, p.ledgerSource)
	if err != nil {
		tb.Fatal(err)
	}
	p.ledger = l
	tb.Cleanup(func() {
		if err := l.db.Close(); err != nil {
			tb.Errorf("bank: close the ledger: %v", err)
		}
	})
	if err := l.create(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// through is the store's data source name by way of a proxy.
func (p *Place) through(address string) string {
	if address == "" {
		return p.source
	}
	return strings.Replace(p.source, p.Server.Address(), address, 1)
}

// Receipts returns the receipts of all rows of a key.
func (p *Place) Receipts(tb testing.TB, key string) []string {
	tb.Helper()
	// A server that was restarted has cut the pool's connections.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	receipts, err := p.ledger.receipts(ctx, key)
	if err != nil {
		tb.Error(err)
	}
	return receipts
}
