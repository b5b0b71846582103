// Package chain shows what becomes of money that goes through several services: a
// wrapped client calls a shop, which calls a bank, which calls a provider, each in a
// process of its own, with the plugin on both sides of each.
package chain

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/servertest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// places are what shop and bank keep their records and ledgers in. On SQLite each has
// a file: a transaction locks the whole of one.
func places(t *testing.T) map[string]func(t *testing.T) (shop, bank config) {
	t.Helper()
	redis, mariadb, postgres := servertest.StartRedis(t), servertest.StartMariaDB(t), servertest.StartPostgres(t)
	file := func(t *testing.T, name string) string {
		t.Helper()
		return sqliteSource(filepath.Join(t.TempDir(), name+".db"))
	}
	one := func(c config) func(*testing.T) (config, config) {
		return func(*testing.T) (config, config) { return c, c }
	}
	files := func(redis string, detached bool) func(*testing.T) (config, config) {
		return func(t *testing.T) (config, config) {
			t.Helper()
			shop := config{Redis: redis, Driver: "sqlite", Source: file(t, "shop"), Detached: detached}
			bank := shop
			bank.Source = file(t, "bank")
			return shop, bank
		}
	}
	return map[string]func(t *testing.T) (shop, bank config){
		"Redis":                files(redis.URL(), false),
		"MariaDB":              one(config{Driver: "mysql", Source: mariadb.DSN()}),
		"MariaDB, detached":    one(config{Driver: "mysql", Source: mariadb.DSN(), Detached: true}),
		"PostgreSQL":           one(config{Driver: "pgx", Source: postgres.DSN()}),
		"PostgreSQL, detached": one(config{Driver: "pgx", Source: postgres.DSN(), Detached: true}),
		"SQLite":               files("", false),
		"SQLite, detached":     files("", true),
	}
}

// city is one provider, two banks, a shop, and a customer.
type city struct {
	transport  string
	what       string // is ordered
	undoes     bool   // what is entered for an order that fails does not stay
	provider   *provider
	banks      []*fixture.Node
	shop       *fixture.Node
	customer   client.Client
	shopLedger *sql.DB
	bankLedger *sql.DB
}

// eachCity runs a test on each store and transport.
func eachCity(t *testing.T, habits config, test func(t *testing.T, c *city)) {
	t.Helper()
	for name, place := range places(t) {
		t.Run(name, func(t *testing.T) {
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) {
					shop, bank := place(t)
					bank.Patience, shop.Again = habits.Patience, habits.Again
					test(t, newCity(t, transport, shop, bank))
				})
			}
		})
	}
}

func newCity(t *testing.T, transport string, shop, bank config) *city {
	t.Helper()
	c := &city{transport: transport, provider: newProvider(t), undoes: shop.Redis == "" && !shop.Detached}
	c.shopLedger, c.bankLedger = openLedger(t, shop), openLedger(t, bank)
	bank.Provider = c.provider.URL
	for range 2 {
		c.banks = append(c.banks, c.start(t, "bank", bank))
	}
	for _, node := range c.banks {
		shop.Bank = append(shop.Bank, node.Address())
	}
	c.shop = c.start(t, "shop", shop)
	c.what = "order of " + c.shop.Address()
	plugin, err := oncemore.New(oncemore.WithClient(wrapper.WithTrustedKeys()))
	if err != nil {
		t.Fatal(err)
	}
	reg := fixture.NewRegistry(map[string][]string{"shop": {c.shop.Address()}})
	sel, closeSelector, err := fixture.NewSelector(reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeSelector(); err != nil {
			t.Error(err)
		}
	})
	c.customer = plugin.ClientWrapper()(fixture.NewClient(t, transport, nil,
		client.Selector(sel), client.Registry(reg), client.RequestTimeout(40*time.Second)))
	return c
}

func (c *city) start(t *testing.T, service string, of config) *fixture.Node {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	return fixture.Start(t, fixture.Config{
		Transport: c.transport, Service: service, Setup: service, Env: []string{variable + "=" + string(text)},
	})
}

func openLedger(t *testing.T, c config) *sql.DB {
	t.Helper()
	db, err := sql.Open(c.Driver, c.Source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS ledger (who VARCHAR(100) NOT NULL, what VARCHAR(100) NOT NULL)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// order has the customer submit the form of the order.
func (c *city) order(ctx context.Context) (string, error) {
	var rsp wrapperspb.StringValue
	req := c.customer.NewRequest("shop", "Shop.Order", wrapperspb.String(c.what))
	err := c.customer.Call(idempotency.WithKey(ctx, c.what[len("order of "):]), req, &rsp)
	return rsp.GetValue(), err
}

// want checks that the order was paid once. What the shop entered before it knew that
// the bank was not paid stays, unless a transaction undid it.
func (c *city) want(t *testing.T) {
	t.Helper()
	if n := c.provider.charges(c.what); n != 1 {
		t.Errorf("%d charges, want 1", n)
	}
	if n := c.rows(t, c.bankLedger, "bank"); n != 1 {
		t.Errorf("%d rows of the bank, want 1", n)
	}
	if n := c.rows(t, c.shopLedger, "shop"); n < 1 || n > 1 && c.undoes {
		t.Errorf("%d rows of the shop, want 1", n)
	}
}

func (c *city) rows(t *testing.T, ledger *sql.DB, who string) (n int) {
	t.Helper()
	row := ledger.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ledger WHERE who = '"+who+"' AND what = '"+c.what+"'")
	if err := row.Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// impatient is a bank that gives its provider up early.
var impatient = config{Patience: 300 * time.Millisecond}

// TestProviderTimeout: the provider has charged, and its answer came too late, for
// which the bank has no code. The customer submits the form again.
func TestProviderTimeout(t *testing.T) {
	eachCity(t, impatient, func(t *testing.T, c *city) {
		if _, err := c.order(t.Context()); err == nil {
			t.Error("the order was answered, though the provider did not")
		}
		for i := range 2 {
			if answer, err := c.order(t.Context()); err != nil || answer != "paid "+c.what {
				t.Errorf("submitted again, %d: %q, %v", i+1, answer, err)
			}
		}
		c.want(t)
	})
}

// TestShopTriesAgain within its own execution: the bank has kept nothing of the first
// time, so that this is no second payment.
func TestShopTriesAgain(t *testing.T) {
	eachCity(t, config{Patience: impatient.Patience, Again: true}, func(t *testing.T, c *city) {
		if answer, err := c.order(t.Context()); err != nil || answer != "paid "+c.what {
			t.Errorf("%q, %v", answer, err)
		}
		c.want(t)
	})
}

// TestBankDies while its provider has charged and not answered. The other instance
// asks the provider under the same key.
func TestBankDies(t *testing.T) {
	eachCity(t, config{Patience: time.Minute}, func(t *testing.T, c *city) {
		c.provider.charged = func(instance string) {
			for _, bank := range c.banks {
				if bank.ID() == instance {
					bank.Kill()
				}
			}
		}
		for i := range 2 {
			if answer, err := c.order(t.Context()); err != nil || answer != "paid "+c.what {
				t.Errorf("submitted, %d: %q, %v", i+1, answer, err)
			}
		}
		c.want(t)
	})
}
