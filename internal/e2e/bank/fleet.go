//go:build linux

package bank

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/transport/headers"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/e2e/checkpoint"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Fleet are the instances of one bank.
type Fleet struct {
	Place    *Place
	Director *checkpoint.Director
	Nodes    []*fixture.Node

	transport, service string
}

// Start starts n instances of a bank, which end with the test.
func Start(tb testing.TB, place *Place, transport string, n int, c Config) *Fleet {
	tb.Helper()
	f := &Fleet{
		Place: place, Director: checkpoint.Listen(tb),
		transport: transport, service: cmp.Or(c.Service, fixture.DefaultService),
	}
	for range n {
		f.Add(tb, c)
	}
	return f
}

// Add starts one more instance, with a configuration of its own.
func (f *Fleet) Add(tb testing.TB, c Config) *fixture.Node {
	tb.Helper()
	return f.AddAt(tb, f.Place, c)
}

// AddAt starts one more instance, which keeps its records in another place.
func (f *Fleet) AddAt(tb testing.TB, place *Place, c Config) *fixture.Node {
	tb.Helper()
	c.kind, c.source, c.ledger = place.Kind, place.through(c.StoreAddress), place.ledgerSource
	c.director = f.Director.Address()
	environment, err := c.environment()
	if err != nil {
		tb.Fatal(err)
	}
	node := fixture.Start(tb, fixture.Config{
		Transport: f.transport, Service: f.service, Setup: setupName, Env: []string{environment},
		RegisterTTL: c.RegisterTTL, RegisterInterval: c.RegisterInterval,
	})
	f.Nodes = append(f.Nodes, node)
	return node
}

// Node returns the instance that made a visit.
func (f *Fleet) Node(tb testing.TB, v checkpoint.Visit) *fixture.Node {
	tb.Helper()
	for _, node := range f.Nodes {
		if node.ID() == v.Process {
			return node
		}
	}
	tb.Fatalf("bank: nobody is called %q", v.Process)
	return nil
}

// Addresses returns where the instances serve.
func (f *Fleet) Addresses() []string {
	addresses := make([]string, len(f.Nodes))
	for i, node := range f.Nodes {
		addresses[i] = node.Address()
	}
	return addresses
}

// callTimeout is how long a call may take in all.
const callTimeout = 100 * time.Second

// Stock returns go-micro's own client, which tries once and has all the time
// that a test may take.
func (f *Fleet) Stock(tb testing.TB) client.Client {
	tb.Helper()
	return f.StockFrom(tb, fixture.NewRegistry(map[string][]string{f.service: f.Addresses()}))
}

// StockFrom is Stock with the instances that a registry knows.
func (f *Fleet) StockFrom(tb testing.TB, r registry.Registry) client.Client {
	tb.Helper()
	selector, closeSelector, err := fixture.NewSelector(r)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := closeSelector(); err != nil {
			tb.Error(err)
		}
	})
	return fixture.NewClient(tb, f.transport, nil,
		client.Selector(selector), client.Registry(r),
		client.Retries(0), client.RequestTimeout(callTimeout), client.DialTimeout(callTimeout),
		func(o *client.Options) { o.CallOptions.ConnectionTimeout = callTimeout })
}

// Client returns a client that retries on another instance, and may retry every
// keyed call, because the test vouches for the store.
func (f *Fleet) Client(tb testing.TB, opts ...wrapper.ClientOption) client.Client {
	tb.Helper()
	return Wrap(tb, f.Stock(tb), append([]wrapper.ClientOption{wrapper.WithTrustedKeys()}, opts...)...)
}

// Wrap wraps a client.
func Wrap(tb testing.TB, c client.Client, opts ...wrapper.ClientOption) client.Client {
	tb.Helper()
	wrap, err := wrapper.NewClientWrapper(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return wrap(c)
}

// Pay calls EndpointPay of fixture.DefaultService under a key, and returns the
// receipt.
func Pay(ctx context.Context, c client.Client, key string, opts ...client.CallOption) (string, error) {
	return Call(ctx, c, fixture.DefaultService, EndpointPay, key, opts...)
}

// Call calls an endpoint under a key, and returns the receipt. The body is the
// same for all calls.
func Call(ctx context.Context, c client.Client, service, endpoint, key string, opts ...client.CallOption) (string, error) {
	var (
		rsp    wrapperspb.StringValue
		report wrapper.Report
	)
	opts = append(slices.Clip(opts), wrapper.WithStory(&report))
	if err := c.Call(idempotency.WithKey(ctx, key), payment(c, service, endpoint), &rsp, opts...); err != nil {
		return "", &toldError{err, report.Story()}
	}
	return rsp.GetValue(), nil
}

// toldError is the error of a call together with what led to it.
type toldError struct {
	error
	story string
}

// Unwrap returns the error of the call.
func (e *toldError) Unwrap() error { return e.error }

// Attempt is one attempt of Pay by a client of whatever make, which says when it
// sent it. The client should be a stock one.
func Attempt(ctx context.Context, c client.Client, key string, sent time.Time, opts ...client.CallOption) (string, error) {
	// mucp may lose a request that has no identity, once in 16,000.
	stream, err := idempotency.NewUUID()
	if err != nil {
		return "", err
	}
	ctx = metadata.MergeContext(ctx, metadata.Metadata{
		idempotency.HeaderKey: key, idempotency.HeaderSent: sent.UTC().Format(time.RFC3339Nano), headers.Stream: stream,
	}, true)
	var rsp wrapperspb.StringValue
	if err := c.Call(ctx, payment(c, fixture.DefaultService, EndpointPay), &rsp, opts...); err != nil {
		return "", err
	}
	return rsp.GetValue(), nil
}

// payment is the same request for all calls.
func payment(c client.Client, service, endpoint string) client.Request {
	return c.NewRequest(service, endpoint, wrapperspb.String("one cent"))
}

// Story is the text of an error, and what led to it.
func Story(err error) string {
	if err == nil {
		return "no error"
	}
	if told, ok := errors.AsType[*toldError](err); ok {
		return err.Error() + ": " + told.story
	}
	return err.Error()
}

// Transport returns which transport the instances speak.
func (f *Fleet) Transport() string { return f.transport }
