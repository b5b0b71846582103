package bank

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// Kind is where a bank keeps its records and its ledger.
type Kind string

// The kinds of store. In a SQL database, records and ledger commit together.
// With Redis, the ledger is a file of SQLite.
const (
	Redis    Kind = "Redis"
	MariaDB  Kind = "MariaDB"
	Postgres Kind = "PostgreSQL"
	SQLite   Kind = "SQLite"
)

// Kinds lists every kind, for tests that run on each.
func Kinds() []Kind { return []Kind{Redis, MariaDB, Postgres, SQLite} }

// Transactional tells whether record and ledger commit together.
func (k Kind) Transactional() bool { return k != Redis }

// Policy is what becomes of an orphan, as the takeover of an idempotency.Guard.
type Policy string

// The policies; the zero value is Hold.
const (
	Hold    Policy = "hold"
	Rerun   Policy = "rerun"
	Recover Policy = "recover"
)

// Config says how the instances of a bank deduplicate. The zero value is the
// guard's defaults, except that nothing is cut short: an execution may take,
// and a duplicate wait, for two minutes.
type Config struct {
	// Takeover is what becomes of orphans.
	Takeover Policy `json:"takeover"`
	// FailOpen executes while the store is away.
	FailOpen bool `json:"fail_open"`
	// Lease and StoreTimeout are the guard's; 0 for its defaults.
	Lease        time.Duration `json:"lease"`
	StoreTimeout time.Duration `json:"store_timeout"`
	// StoreAddress is where to find the store's server, if not at its own
	// address: a proxy.
	StoreAddress string `json:"store_address"`
	// Detached has a SQL store keep its records apart from the ledger, under leases.
	Detached bool `json:"detached"`
	// Callers tells callers apart, see WithCaller.
	Callers bool `json:"callers"`
	// Announce announces the store's identity through the registry.
	Announce bool `json:"announce"`
	// Safety is what is announced of EndpointPay, see wrapper.EndpointSafety; the zero
	// value for nothing.
	Safety retryfunc.Safety `json:"safety"`
	// Version of the service; empty means go-micro's default.
	Version string `json:"version"`
	// Service is the service's name; empty means fixture.DefaultService.
	Service string `json:"service"`
	// Consul is the host:port of an agent to register with; empty means none.
	Consul string `json:"consul"`
	// RegisterTTL and RegisterInterval are go-micro's; 0 means its defaults.
	RegisterTTL      time.Duration `json:"register_ttl"`
	RegisterInterval time.Duration `json:"register_interval"`

	kind     Kind
	source   string // of the store
	ledger   string // of the ledger, where it is not in the store
	director string
}

// patience is the guard's, see Config.
const patience = 2 * time.Minute

func (c Config) settings() []idempotency.Option {
	settings := []idempotency.Option{idempotency.WithExecutionTimeout(patience), idempotency.WithMaxWait(patience)}
	if c.Lease > 0 {
		settings = append(settings, idempotency.WithLease(c.Lease))
	}
	if c.StoreTimeout > 0 {
		settings = append(settings, idempotency.WithStoreTimeout(c.StoreTimeout))
	}
	if c.FailOpen {
		settings = append(settings, idempotency.WithStoreFailure(idempotency.FailOpen))
	}
	return settings
}

// variable is the environment variable by which an instance gets its Config.
const variable = "BANK"

// encoded is a Config on its way to an instance, all of it.
type encoded struct {
	Config
	Kind     Kind   `json:"kind"`
	Source   string `json:"source"`
	Ledger   string `json:"ledger"`
	Director string `json:"director"`
}

func (c Config) environment() (string, error) {
	text, err := json.Marshal(encoded{Config: c, Kind: c.kind, Source: c.source, Ledger: c.ledger, Director: c.director})
	if err != nil {
		return "", fmt.Errorf("bank: encode the configuration: %w", err)
	}
	return variable + "=" + string(text), nil
}

func configFromEnvironment() (Config, error) {
	text := os.Getenv(variable)
	if text == "" {
		return Config{}, errors.New("bank: start instances with bank.Start")
	}
	var e encoded
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Config{}, fmt.Errorf("bank: read the configuration: %w", err)
	}
	c := e.Config
	c.kind, c.source, c.ledger, c.director = e.Kind, e.Source, e.Ledger, e.Director
	return c, nil
}
