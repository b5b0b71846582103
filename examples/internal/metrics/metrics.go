// Package metrics lets Prometheus read what oncemore tells OpenTelemetry.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/oncemore-dev/oncemore/telemetry"
)

// headerTimeout is how long a reader may take to say what it wants.
const headerTimeout = 5 * time.Second

// Metrics are those of one process. It is safe for concurrent use.
type Metrics struct {
	// Telemetry is what oncemore is observed by.
	*telemetry.Telemetry

	handler  http.Handler
	provider *metric.MeterProvider
}

// New makes the metrics of a process. Options say where its spans go.
func New(opts ...telemetry.Option) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, err
	}
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	t, err := telemetry.New(append(slices.Clone(opts), telemetry.WithMeterProvider(provider))...)
	if err != nil {
		return nil, err
	}
	return &Metrics{
		Telemetry: t,
		handler:   promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}),
		provider:  provider,
	}, nil
}

// ServeHTTP answers with all of them, in Prometheus' format.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Close ends them.
func (m *Metrics) Close() error {
	return errors.Join(m.Telemetry.Close(), m.provider.Shutdown(context.Background()))
}

// Serve answers GET /metrics at an address until the returned function is called.
func (m *Metrics) Serve(address string) (stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics are not served any more", "address", address, "error", err)
		}
	}()
	return func() error {
		err := server.Close()
		<-ended
		return err
	}, nil
}
