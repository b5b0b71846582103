package bank

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/e2e/checkpoint"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const setupName = "bank"

// Main is the whole TestMain of a package that starts banks. It does not return.
func Main(m *testing.M, opts ...fixture.Option) {
	fixture.Main(m, append(opts, fixture.WithSetup(setupName, setup), fixture.WithLeakOptions(leak.Hystrix()...))...)
}

// setup makes an instance, inside of its process.
func setup(i fixture.Instance) ([]server.Option, error) {
	c, err := configFromEnvironment()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	points, err := checkpoint.Dial(ctx, c.director, i.ID)
	if err != nil {
		return nil, err
	}
	b := &Bank{process: fmt.Sprintf("%s/%d", i.ID, os.Getpid()), service: i.Service, points: points}
	if b.ledger, err = c.openInstanceLedger(); err != nil {
		return nil, err
	}
	var announced []server.HandlerOption
	if c.Safety != retryfunc.SafetyUnknown {
		announced = append(announced, wrapper.EndpointSafety(EndpointPay, c.Safety))
	}
	i.Handle(b, announced...)
	return c.serverOptions(ctx, b)
}

func (c Config) openInstanceLedger() (*ledger, error) {
	if c.kind == Redis {
		return openLedger(SQLite, c.ledger)
	}
	return openLedger(c.kind, c.source)
}

// serverOptions wraps the handlers: outermost what observes, then what
// deduplicates.
func (c Config) serverOptions(ctx context.Context, b *Bank) ([]server.Option, error) {
	store, err := c.openStore(ctx, b.ledger)
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(observe(store, b.points), append(c.settings(),
		idempotency.WithTakeover(b.takeover(c.Takeover)), idempotency.WithHook(b.report))...)
	if err != nil {
		return nil, err
	}
	opts := []wrapper.ServerOption{
		wrapper.WithKeyMode(wrapper.KeyOff),
		wrapper.WithKeyMode(wrapper.KeyRequired, EndpointPay, EndpointDonate),
	}
	if c.Callers {
		opts = append(opts, wrapper.WithCaller(authenticated))
	}
	wrap, err := wrapper.NewHandlerWrapper(b.service, guard, opts...)
	if err != nil {
		return nil, err
	}
	options := []server.Option{server.WrapHandler(b.observe), server.WrapHandler(wrap)}
	if c.Consul != "" {
		options = append(options, server.Registry(consul.NewRegistry(registry.Addrs(c.Consul))))
	}
	if c.Version != "" {
		options = append(options, server.Version(c.Version))
	}
	if !c.Announce {
		return options, nil
	}
	announced, err := wrapper.NodeMetadata(ctx, guard, opts...)
	if err != nil {
		return nil, err
	}
	return append(options, server.Metadata(announced)), nil
}

// The endpoints of a bank. Both enter a row into the ledger and answer its
// receipt, which no other row has.
const (
	EndpointPay    = "Bank.Pay"
	EndpointDonate = "Bank.Donate"
)

// Bank is the handler. It is exported because go-micro names endpoints after
// the handler's type.
type Bank struct {
	process, service string
	points           *checkpoint.Client
	ledger           *ledger
}

// Pay is EndpointPay.
func (b *Bank) Pay(ctx context.Context, _, rsp *wrapperspb.StringValue) error {
	return b.enter(ctx, EndpointPay, rsp)
}

// Donate is EndpointDonate.
func (b *Bank) Donate(ctx context.Context, _, rsp *wrapperspb.StringValue) error {
	return b.enter(ctx, EndpointDonate, rsp)
}

var errNoKey = errors.New("bank: the handler runs without a key")

// enter is the work. Whether it fails or not, it ends at Left.
func (b *Bank) enter(ctx context.Context, endpoint string, rsp *wrapperspb.StringValue) (err error) {
	info, ok := idempotency.ExecutionFrom(ctx)
	if !ok {
		return errNoKey
	}
	key := info.Key.Value
	defer func() {
		if _, left := b.points.Pass(context.WithoutCancel(ctx), Left, key); left != nil {
			err = errors.Join(err, left)
		}
	}()
	if err := b.pass(ctx, Before, key); err != nil {
		return err
	}
	id, err := idempotency.NewUUID()
	if err != nil {
		return err
	}
	receipt := ReceiptPrefix + b.process + "/" + id
	scope := idempotency.Scope{Service: b.service, Endpoint: endpoint, Caller: info.Caller, Key: key}
	if err := b.ledger.enter(ctx, scope, receipt); err != nil {
		return err
	}
	rsp.Value = receipt
	return b.pass(ctx, Worked, key)
}

// ReceiptPrefix is what a receipt begins with, and no other data.
const ReceiptPrefix = "receipt:"
