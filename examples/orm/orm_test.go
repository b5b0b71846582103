package orm_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/oncemore-dev/oncemore/examples/orm"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wallet is one of the handlers.
type wallet interface {
	Tip(ctx context.Context, t orm.Tip) error
}

// TestWallets: whatever a handler writes through, a call that comes twice writes
// once, and one that fails leaves nothing.
func TestWallets(t *testing.T) {
	db := openLedger(t)
	guard := newGuard(t, db)
	for name, w := range wallets(t, db) {
		t.Run(name, func(t *testing.T) {
			call := func(key string, tip orm.Tip) error {
				_, err := guard.Do(t.Context(), idempotency.Call{
					Service: "bank", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: name + "-" + key}, Declared: true, Body: tip,
				}, func(ctx context.Context) error { return w.Tip(ctx, tip) })
				return err
			}
			tip := orm.Tip{Student: name, Cents: 500}
			for range 2 {
				if err := call("pays", tip); err != nil {
					t.Errorf("pay: %v", err)
				}
			}
			wantRows(t, db, name, 1)
			if err := call("fails", orm.Tip{Student: name}); err == nil {
				t.Error("a tip of nothing was accepted")
			}
			wantRows(t, db, name, 1)
			wantRows(t, db, "a mistake", 0)
			if n := db.Stats().InUse; n != 0 {
				t.Errorf("%d connections are in use", n)
			}
		})
	}
}

// TestWalletsByThemselves: handlers are tested without a store, in a transaction
// that the test rolls back.
func TestWalletsByThemselves(t *testing.T) {
	db := openLedger(t)
	for name, w := range wallets(t, db) {
		t.Run(name, func(t *testing.T) {
			tx, err := db.BeginTx(t.Context(), nil)
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ctx = sqlstore.NewContext(ctx, tx)
			must(t, w.Tip(ctx, orm.Tip{Student: name, Cents: 500}))
			q, _ := sqlstore.Tx(ctx)
			wantRows(t, q, name, 1)
			must(t, tx.Rollback())
			wantRows(t, db, name, 0)
		})
	}
}

func wallets(t *testing.T, db *sql.DB) map[string]wallet {
	t.Helper()
	g, err := gorm.Open(postgres.New(postgres.Config{Conn: db}), &gorm.Config{})
	must(t, err)
	return map[string]wallet{
		"gorm": orm.GormWallet{DB: g}, "sqlx": orm.SqlxWallet{}, "bun": orm.BunWallet{}, "ent": orm.EntWallet{},
		"sqlc": orm.SqlcWallet{}, "plain": orm.PlainWallet{},
	}
}

// openLedger opens a database with an empty ledger.
func openLedger(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", servertest.StartPostgres(t).DSN())
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	schema, err := os.ReadFile("sqlcdb/schema.sql")
	must(t, err)
	_, err = db.ExecContext(t.Context(), string(schema))
	must(t, err)
	return db
}

func newGuard(t *testing.T, db *sql.DB) *idempotency.Guard {
	t.Helper()
	store, err := sqlstore.New(t.Context(), db, sqlstore.WithMigrate())
	must(t, err)
	guard, err := idempotency.New(store)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(guard.Drain(context.WithoutCancel(t.Context())), store.Close())) })
	return guard
}

func wantRows(t *testing.T, db sqlstore.Querier, student string, want int) {
	t.Helper()
	var n int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM tips WHERE student = $1", student).Scan(&n))
	if n != want {
		t.Errorf("%d rows of %s, want %d", n, student, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
