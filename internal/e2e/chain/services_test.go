package chain

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	_ "github.com/go-sql-driver/mysql" // the driver mysql
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"
	_ "modernc.org/sqlite" // the driver sqlite

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) {
	fixture.Main(m, fixture.WithSetup("shop", setup), fixture.WithSetup("bank", setup), fixture.WithLeakOptions(leak.Hystrix()...))
}

// config is what an instance is told.
type config struct {
	// Redis is where the records are, if not in the database.
	Redis string `json:"redis"`
	// Driver and Source are the database's.
	Driver string `json:"driver"`
	Source string `json:"source"`
	// Detached has the database keep leases.
	Detached bool `json:"detached"`
	// Bank is where the shop finds the bank's instances.
	Bank []string `json:"bank"`
	// Provider is the URL of the bank's provider, and Patience how long the bank waits
	// for it.
	Provider string        `json:"provider"`
	Patience time.Duration `json:"patience"`
	// Again has the shop ask the bank once more if it fails.
	Again bool `json:"again"`
}

const variable = "CHAIN"

// setup makes an instance of the shop or of the bank, with the plugin on both sides.
func setup(i fixture.Instance) ([]server.Option, error) {
	var c config
	if err := json.Unmarshal([]byte(os.Getenv(variable)), &c); err != nil {
		return nil, err
	}
	db, err := sql.Open(c.Driver, c.Source)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := c.openStore(ctx, db)
	if err != nil {
		return nil, err
	}
	plugin, err := oncemore.New(
		oncemore.WithStore(store, idempotency.WithLease(2*time.Second), idempotency.WithTakeover(idempotency.TakeoverRerun())),
		oncemore.WithClient(wrapper.WithTrustedKeys()))
	if err != nil {
		return nil, err
	}
	handlers, err := plugin.HandlerWrapper(i.Service)
	if err != nil {
		return nil, err
	}
	if i.Service == "bank" {
		i.Handle(&Bank{instance: i.ID, db: db, provider: c.Provider, client: &http.Client{Timeout: c.Patience}})
	} else if err := openShop(i, c, db, plugin); err != nil {
		return nil, err
	}
	return []server.Option{server.WrapHandler(handlers)}, nil
}

func (c config) openStore(ctx context.Context, db *sql.DB) (idempotency.Store, error) {
	if c.Redis != "" {
		return redisstore.Open(ctx, c.Redis)
	}
	options := []sqlstore.Option{sqlstore.WithMigrate()}
	if c.Detached {
		options = append(options, sqlstore.WithDetached())
	}
	return sqlstore.New(ctx, db, options...)
}

func openShop(i fixture.Instance, c config, db *sql.DB, plugin *oncemore.Plugin) error {
	reg := fixture.NewRegistry(map[string][]string{"bank": c.Bank})
	sel, _, err := fixture.NewSelector(reg) // until the process ends
	if err != nil {
		return err
	}
	opts := []client.Option{
		client.Selector(sel), client.Registry(reg), client.Broker(broker.NewMemoryBroker()),
		client.ContentType("application/protobuf"), client.RequestTimeout(20 * time.Second), client.Wrap(plugin.ClientWrapper()),
	}
	newClient := client.NewClient
	if i.Transport == fixture.GRPC {
		newClient = grpcclient.NewClient
	}
	i.Handle(&Shop{db: db, client: newClient(opts...), again: c.Again})
	return nil
}

// Shop takes orders. It is exported because go-micro names endpoints after the type.
type Shop struct {
	db     *sql.DB
	client client.Client
	again  bool
}

// Order enters the order, and has the bank paid.
func (s *Shop) Order(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	if err := enter(ctx, s.db, "shop", req.GetValue()); err != nil {
		return err
	}
	err := s.client.Call(ctx, s.client.NewRequest("bank", "Bank.Pay", req), rsp)
	if err != nil && s.again {
		err = s.client.Call(ctx, s.client.NewRequest("bank", "Bank.Pay", req), rsp)
	}
	return err
}

// Bank pays through a provider. It is exported because go-micro names endpoints after
// the type.
type Bank struct {
	instance string
	db       *sql.DB
	client   *http.Client
	provider string
}

// Pay charges, and enters the charge.
func (b *Bank) Pay(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	if err := b.charge(ctx, req.GetValue()); err != nil {
		return err
	}
	rsp.Value = "paid " + req.GetValue()
	return enter(ctx, b.db, "bank", req.GetValue())
}

// charge is the recipe of docs/money.md.
func (b *Bank) charge(ctx context.Context, what string) error {
	key, done, err := idempotency.CallKey(idempotency.WithStep(ctx, "charge"), "provider", "charges", nil, nil)
	if err != nil {
		return err
	}
	err = b.post(ctx, key.Value, what)
	done(err != nil)
	return err
}

func (b *Bank) post(ctx context.Context, key, what string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.provider, strings.NewReader(what))
	if err != nil {
		return err
	}
	req.Header.Set(idempotency.HeaderKey, key)
	req.Header.Set(headerInstance, b.instance)
	answer, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	return answer.Body.Close()
}

// enter adds a row to the ledger: in the transaction of the execution, if there is one.
func enter(ctx context.Context, db *sql.DB, who, what string) error {
	var q sqlstore.Querier = db
	if tx, ok := sqlstore.Tx(ctx); ok {
		q = tx
	}
	_, err := q.ExecContext(ctx, "INSERT INTO ledger (who, what) VALUES ('"+who+"', '"+what+"')")
	return err
}

// sqliteSource is the data source name of a file that several processes share.
func sqliteSource(path string) string {
	settings := url.Values{"_pragma": {"busy_timeout(30000)", "journal_mode(WAL)"}, "_txlock": {"immediate"}}
	return path + "?" + settings.Encode()
}
