package main

import (
	"errors"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/internal/metrics"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
	"github.com/oncemore-dev/oncemore/idempotency"
)

// envMetrics names the address where metrics are served; nowhere if it is empty.
const envMetrics = "METRICS_ADDRESS"

// watch serves the metrics of the plugin that gets the options, of the keys in its store
// and of the ledger's connections, until stop is called.
func watch(address string, store idempotency.Store, book *ledger.Ledger) (opts []oncemore.Option, stop func() error, err error) {
	if address == "" {
		return nil, func() error { return nil }, nil
	}
	if _, err := setting.Address(envMetrics, address); err != nil {
		return nil, nil, err
	}
	m, err := metrics.New()
	if err != nil {
		return nil, nil, err
	}
	unserve, err := serveMetrics(m, address, store, book)
	if err != nil {
		return nil, nil, errors.Join(err, m.Close())
	}
	stop = func() error { return errors.Join(unserve(), m.Close()) }
	return []oncemore.Option{oncemore.WithObserver(m)}, stop, nil
}

func serveMetrics(m *metrics.Metrics, address string, store idempotency.Store, book *ledger.Ledger) (stop func() error, err error) {
	if inspector, ok := store.(idempotency.Inspector); ok {
		if _, err := m.WatchKeys(inspector, serviceName); err != nil {
			return nil, err
		}
	}
	if _, err := m.WatchPool(book.DB(), "ledger"); err != nil {
		return nil, err
	}
	return m.Serve(address)
}
