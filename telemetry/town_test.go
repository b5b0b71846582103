package telemetry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/telemetry"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const (
	bank = "bank"
	pay  = "Bank.Pay"
	name = bank + "/" + pay
)

// watched is a Telemetry whose spans and metrics a test can look at.
type watched struct {
	*telemetry.Telemetry

	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
	told   chan struct{}
}

// Observe is Telemetry's, and wakes whoever awaits something.
func (w *watched) Observe(ctx context.Context, e wrapper.Event) {
	w.Telemetry.Observe(ctx, e)
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// await returns when something holds, which is asked after each event.
func (w *watched) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	patience := time.After(time.Minute)
	for !holds() {
		select {
		case <-w.told:
		case <-patience:
			t.Fatalf("never: %s", what)
		}
	}
}

func watch(t *testing.T, opts ...telemetry.Option) *watched {
	t.Helper()
	w := &watched{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader(), told: make(chan struct{}, 1)}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	meters := metric.NewMeterProvider(metric.WithReader(w.reader))
	one, err := telemetry.New(slices.Concat([]telemetry.Option{
		telemetry.WithTracerProvider(tracers), telemetry.WithMeterProvider(meters),
	}, opts)...)
	must(t, err)
	w.Telemetry = one
	t.Cleanup(func() {
		must(t, one.Close())
		must(t, tracers.Shutdown(context.Background()))
		must(t, meters.Shutdown(context.Background()))
	})
	return w
}

// ended returns the spans of a name, in the order in which they began.
func (w *watched) ended(name string) (found []tracetest.SpanStub) {
	for _, s := range w.spans.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return found
}

// value sums the points of a metric that have all of the attributes: counts of histograms,
// or values. It returns -1 if there is none.
func (w *watched) value(t *testing.T, metricName string, attrs ...attribute.KeyValue) float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	must(t, w.reader.Collect(context.Background(), &all))
	sum, found := 0.0, false
	add := func(set attribute.Set, value float64) {
		for _, a := range attrs {
			if got, ok := set.Value(a.Key); !ok || got != a.Value {
				return
			}
		}
		sum, found = sum+value, true
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == metricName {
				eachPoint(t, m.Data, add)
			}
		}
	}
	if !found {
		return -1
	}
	return sum
}

func eachPoint(t *testing.T, data metricdata.Aggregation, add func(attribute.Set, float64)) {
	t.Helper()
	switch data := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	default:
		t.Fatalf("a %T is not known here", data)
	}
}

// want asserts what value returns.
func (w *watched) want(t *testing.T, want float64, metricName string, attrs ...attribute.KeyValue) {
	t.Helper()
	if got := w.value(t, metricName, attrs...); got != want {
		t.Errorf("%s%v: got %v, want %v", metricName, attrs, got, want)
	}
}

// town is where a bank is called over a transport.
type town struct {
	*fixture.Town

	t *testing.T
}

func eachTown(t *testing.T, test func(t *testing.T, at *town)) {
	t.Helper()
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) { test(t, newTown(t, transport, nil)) })
	}
}

func newTown(t *testing.T, transport string, nodes map[string][]string) *town {
	t.Helper()
	return &town{fixture.NewTown(t, transport, nodes), t}
}

// Bank pays; how, a test may say.
type Bank struct {
	pay func(context.Context) error
}

// Pay pays, and says so.
func (b *Bank) Pay(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	if b.pay != nil {
		if err := b.pay(ctx); err != nil {
			return err
		}
	}
	rsp.Value = "paid " + req.GetValue()
	return nil
}

func (at *town) store() *memstore.Store {
	at.t.Helper()
	s, err := memstore.New()
	must(at.t, err)
	return s
}

// open starts a bank.
func (at *town) open(w *watched, store idempotency.Store, b *Bank) {
	at.t.Helper()
	p, err := oncemore.New(oncemore.WithObserver(w), oncemore.WithStore(store, idempotency.WithOrigin(w.Origin)))
	must(at.t, err)
	s := at.Service(at.t, bank, p.Options()...)
	must(at.t, micro.RegisterHandler(s.Server(), b))
	must(at.t, fixture.Begin(at.t, s))
}

// caller is a client with oncemore.
func (at *town) caller(w *watched, opts ...oncemore.Option) client.Client {
	at.t.Helper()
	p, err := oncemore.New(slices.Concat(opts, []oncemore.Option{oncemore.WithObserver(w)})...)
	must(at.t, err)
	return p.ClientWrapper()(at.Stock(at.t))
}

// order7 is the context of one call with the key order-7.
func order7(t *testing.T) context.Context {
	t.Helper()
	return idempotency.WithKey(t.Context(), "order-7")
}

func payTo(ctx context.Context, c client.Client, what string) error {
	return c.Call(ctx, c.NewRequest(bank, pay, wrapperspb.String(what)), new(wrapperspb.StringValue))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
