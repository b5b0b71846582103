package main

import (
	"errors"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/internal/metrics"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
	"github.com/oncemore-dev/oncemore/examples/internal/traces"
	"github.com/oncemore-dev/oncemore/idempotency"
)

// envMetrics names the address where metrics are served; nowhere if it is empty.
const envMetrics = "METRICS_ADDRESS"

// watch serves the metrics of the plugin, of the keys in its store and of the ledger's
// connections, and writes its spans to a file, until stop is called. Without an
// address and a file it is nil.
func watch(
	getenv func(string) string, store idempotency.Store, book *ledger.Ledger,
) (observed *metrics.Metrics, stop func() error, err error) {
	address, path := getenv(envMetrics), getenv(traces.Variable)
	if address == "" && path == "" {
		return nil, func() error { return nil }, nil
	}
	spans, err := traces.Open(serviceName, path)
	if err != nil {
		return nil, nil, err
	}
	m, err := metrics.New(spans.Options()...)
	if err != nil {
		return nil, nil, errors.Join(err, spans.Close())
	}
	unserve, err := serveMetrics(m, address, store, book)
	if err != nil {
		return nil, nil, errors.Join(err, m.Close(), spans.Close())
	}
	return m, func() error { return errors.Join(unserve(), m.Close(), spans.Close()) }, nil
}

func serveMetrics(m *metrics.Metrics, address string, store idempotency.Store, book *ledger.Ledger) (stop func() error, err error) {
	if address == "" {
		return func() error { return nil }, nil
	}
	if _, err := setting.Address(envMetrics, address); err != nil {
		return nil, err
	}
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
