package docs

import (
	"context"
	"database/sql"
	"net/http"
	"time"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// What the documents show, for the compiler.
var (
	_ = slowEndpoint
	_ = pool
	_ = httpServer
	_ = httpInFront
	_ = overload
)

func slowEndpoint(store idempotency.Store) (*oncemore.Plugin, error) {
	slow := wrapper.WithEndpointSettings("Report.Build",
		idempotency.WithExecutionTimeout(5*time.Minute), idempotency.WithMaxWait(time.Minute))
	return oncemore.New(oncemore.WithStore(store), oncemore.WithServer(slow))
}

func pool(ctx context.Context, db *sql.DB) (*sqlstore.Store, error) {
	db.SetMaxOpenConns(40)
	db.SetMaxIdleConns(40) // or each burst dials again
	return sqlstore.New(ctx, db, sqlstore.WithMaxWaiters(15))
}

func httpServer(store idempotency.Store, mux *http.ServeMux, tips http.Handler) error {
	guard, err := idempotency.New(store)
	if err != nil {
		return err
	}
	guarded, err := httpguard.New("shop", guard, httpguard.WithCaller(func(r *http.Request) (string, error) {
		return r.Header.Get("X-Authenticated-User"), nil // as the proxy in front has set it
	}))
	if err != nil {
		return err
	}
	mux.Handle("POST /tips", guarded.Wrap(tips))
	return nil
}

func httpInFront(mux *http.ServeMux, tips http.Handler) error {
	needsKey, err := httpkey.New()
	if err != nil {
		return err
	}
	mux.Handle("POST /tips", needsKey(tips))
	return nil
}

func overload(store idempotency.Store) error {
	limiter, err := concurrency.NewAdaptive()
	if err != nil {
		return err
	}
	plugin, err := oncemore.New(oncemore.WithStore(store), oncemore.WithServer(wrapper.WithConcurrencyLimit(limiter)))
	if err != nil {
		return err
	}
	_ = plugin
	return nil
}
