package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// The flags that name a scope.
const (
	flagService  = "service"
	flagEndpoint = "endpoint"
	flagCaller   = "caller"
	flagKey      = "key"
)

func scopeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagService, Usage: "the name of the service"},
		&cli.StringFlag{Name: flagEndpoint, Usage: "its endpoint, such as Wallet.Tip, or POST /tips"},
		&cli.StringFlag{Name: flagCaller, Usage: "who called, where the service tells callers apart"},
		&cli.StringFlag{Name: flagKey, Usage: "the idempotency key"},
	}
}

// storeKeyOf returns the key that the command line names: by its hash, or by its
// scope, which is then known though the store keeps the hash only.
func storeKeyOf(c *cli.Command) (idempotency.StoreKey, idempotency.Scope, error) {
	var none idempotency.StoreKey
	scope := idempotency.Scope{
		Service: c.String(flagService), Endpoint: c.String(flagEndpoint), Caller: c.String(flagCaller), Key: c.String(flagKey),
	}
	switch {
	case c.Args().Len() > 1:
		return none, scope, usage("%s takes one STORE_KEY; flags come before it or after it, each with its value", c.Name)
	case c.Args().Present() && scope != idempotency.Scope{}:
		return none, scope, usage("name the key by its STORE_KEY or by its scope, not by both")
	case c.Args().Present():
		raw, err := hex.DecodeString(c.Args().First())
		if err != nil || len(raw) != len(none) {
			return none, scope, usage("%q is no STORE_KEY: it must be the %d hexadecimal digits that list shows",
				c.Args().First(), 2*len(none))
		}
		return idempotency.StoreKey(raw), scope, nil
	case scope.Service == "" || scope.Endpoint == "" || scope.Key == "":
		return none, scope, usage("which key? Give a STORE_KEY, as list shows it, or --%s, --%s, --%s and perhaps --%s",
			flagService, flagEndpoint, flagKey, flagCaller)
	}
	key, err := idempotency.ParseKey(scope.Key)
	if err != nil {
		return none, scope, usage("--%s %q: %w", flagKey, scope.Key, err)
	}
	scope.Key = key
	return scope.StoreKey(), scope, nil
}

// withEntry opens the store and looks up the key that the command line names.
func withEntry(ctx context.Context, c *cli.Command, do func(*opened, idempotency.Entry) error) error {
	key, scope, err := storeKeyOf(c)
	if err != nil {
		return err
	}
	return withStore(ctx, c, func(o *opened) error {
		e, err := o.lookUp(ctx, key, c.Duration(flagTimeout))
		if err != nil {
			return err
		}
		if e.Scope == (idempotency.Scope{}) {
			e.Scope = scope
		}
		return do(o, e)
	})
}

// lookUp returns what the store holds of a key.
func (o *opened) lookUp(ctx context.Context, key idempotency.StoreKey, timeout time.Duration) (idempotency.Entry, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	e, err := o.Lookup(bounded, key)
	if err != nil {
		return e, err
	}
	e.Key = key
	if e.State == idempotency.Absent {
		return e, fmt.Errorf("the store holds nothing of %v: it was never executed, was forgotten, or is older than the retention", key)
	}
	return e, nil
}
