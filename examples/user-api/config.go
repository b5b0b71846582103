package main

import (
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/control"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// The ways to call hello-srv.
const (
	clientOncemore = "oncemore"
	clientStock    = "stock"
	clientHystrix  = "hystrix"
	clientHedged   = "hedged" // oncemore, and what takes long is sent twice
)

// Why a tip whose outcome is unknown may be sent again.
const (
	// keysAnnounced: every hello-srv announces, through the registry, that it
	// deduplicates in the same store.
	keysAnnounced = "announced"
	// keysVouched: whoever started user-api says so. A list of nodes carries no
	// announcements.
	keysVouched = "vouched"
)

const defaultAddress = "127.0.0.1:8080"

// config is what the environment says; the flags are go-micro's.
type config struct {
	address string
	nodes   []string // of hello-srv; empty: ask the registry
	client  string
	keys    string
	secret  string          // of the form's tokens; empty: made at the start
	ledger  storeurl.Store  // of hello-srv, for the page; zero: not to be read
	control *control.Client // of whoever started the instances; nil: nobody lends it
}

func configFrom(getenv func(string) string) (config, error) {
	c := config{address: defaultAddress, client: clientOncemore}
	var err error
	if value := getenv("USER_API_ADDRESS"); value != "" {
		if c.address, err = setting.Address("USER_API_ADDRESS", value); err != nil {
			return config{}, err
		}
	}
	if c.nodes, err = setting.Addresses("HELLO_NODES", getenv("HELLO_NODES")); err != nil {
		return config{}, err
	}
	if value := getenv("CLIENT"); value != "" {
		c.client = value
	}
	if err := setting.OneOf("CLIENT", c.client, clientOncemore, clientStock, clientHystrix, clientHedged); err != nil {
		return config{}, err
	}
	if c.keys = getenv("HELLO_KEYS"); c.keys == "" {
		c.keys = keysAnnounced
		if len(c.nodes) > 0 {
			c.keys = keysVouched
		}
	}
	if err := setting.OneOf("HELLO_KEYS", c.keys, keysAnnounced, keysVouched); err != nil {
		return config{}, err
	}
	c.secret = getenv("FORM_SECRET")
	if err := checkSecret(c.secret); err != nil {
		return config{}, err
	}
	return c, c.forPage(getenv)
}

func (c *config) forPage(getenv func(string) string) (err error) {
	if value := getenv(storeurl.LedgerVariable); value != "" {
		if c.ledger, err = storeurl.ParseLedger(value); err != nil {
			return err
		}
	}
	if value := getenv(control.Variable); value != "" {
		c.control, err = control.NewClient(value)
	}
	return err
}
