package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/metrics"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const (
	// openTimeout is how long the databases may take to answer at the start.
	openTimeout = 15 * time.Second

	// redisLease is how long the tip of an instance that died is held, on a
	// store that cannot tell death from silence: much shorter than user-api's
	// callers wait, so that another instance recovers it for them. Who was only
	// silent for longer finds the ledger's fence raised.
	redisLease = time.Second
	// redisLook is how often those who wait for a tip look whether its instance
	// has died; that it has ended they are told.
	redisLook = redisLease / 4
)

// openedStore is what deduplicates; its store is nil with none:.
type openedStore struct {
	idempotency.Store
	close func() error
}

// openStore opens what STORE names. The error names it, without its password.
func openStore(ctx context.Context, where storeurl.Store, book *ledger.Ledger) (openedStore, error) {
	var opened openedStore
	var err error
	switch where.Kind {
	case storeurl.None:
		opened.close = func() error { return nil }
	case storeurl.Memory:
		opened.Store, err = memstore.New()
		opened.close = func() error { return nil }
	case storeurl.Redis:
		var store *redisstore.Store
		if store, err = redisstore.Open(ctx, where.URL.String()); err == nil {
			opened = openedStore{Store: store, close: store.Close}
		}
	default: // the ledger's database
		var store *sqlstore.Store
		if store, err = sqlstore.New(ctx, book.DB(), sqlstore.WithMigrate()); err == nil {
			opened = openedStore{Store: store, close: store.Close}
		}
	}
	if err != nil {
		return openedStore{}, fmt.Errorf("%s=%s: %w", storeurl.Variable, where, err)
	}
	return opened, nil
}

// tipEndpoint is the one that must not run twice.
const tipEndpoint = "Wallet.Tip"

// newPlugin makes a tip need a key and run once for it. The other endpoints
// change nothing. Nobody need observe it.
func newPlugin(store idempotency.Store, kind storeurl.Kind, book *ledger.Ledger, observed *metrics.Metrics) (*oncemore.Plugin, error) {
	server := []wrapper.ServerOption{
		wrapper.WithKeyMode(wrapper.KeyOff),
		wrapper.WithKeyMode(wrapper.KeyRequired, tipEndpoint),
	}
	if kind == storeurl.Redis {
		server = append(server, wrapper.WithEndpointSettings(tipEndpoint,
			idempotency.WithLease(redisLease), idempotency.WithPollInterval(redisLook),
			idempotency.WithTakeover(idempotency.TakeoverRecover(recoverTip(book)))))
	}
	if observed == nil {
		return oncemore.New(oncemore.WithStore(store), oncemore.WithServer(server...))
	}
	return oncemore.New(oncemore.WithStore(store, idempotency.WithOrigin(observed.Origin)), oncemore.WithServer(server...),
		oncemore.WithObserver(observed))
}

// open opens the ledger and what deduplicates.
func (s storage) open(ctx context.Context) (book *ledger.Ledger, store openedStore, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if book, err = ledger.Open(ctx, s.ledger); err != nil {
		return nil, openedStore{}, err
	}
	if store, err = openStore(ctx, s.store, book); err != nil {
		return nil, openedStore{}, errors.Join(err, book.Close())
	}
	return book, store, nil
}
