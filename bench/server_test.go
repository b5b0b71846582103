package bench

import (
	"testing"

	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// serve serves a Bank on the loopback interface until the benchmark ends, and
// returns its address.
func serve(b *testing.B, transportName string, opts ...server.Option) string {
	b.Helper()
	address := proctest.Address(proctest.ReservePort(b))
	opts = append([]server.Option{
		server.Name(service), server.Id(service + "@" + address),
		server.Address(address), server.Advertise(address),
		server.Registry(fixture.NewRegistry(nil)),
		server.Broker(broker.NewMemoryBroker()),
		server.Transport(transport.NewHTTPTransport()),
	}, opts...)
	newServer := server.NewServer
	if transportName == fixture.GRPC {
		newServer = grpcserver.NewServer
	}
	s := newServer(opts...)
	must(b, s.Handle(s.NewHandler(Bank{})))
	must(b, s.Start())
	b.Cleanup(func() { must(b, s.Stop()) })
	return address
}

// handlerWrapper is the wrapper of a service that dedupes in its memory.
func handlerWrapper(b *testing.B) server.HandlerWrapper {
	b.Helper()
	store, err := memstore.New()
	must(b, err)
	guard, err := idempotency.New(store)
	must(b, err)
	wrap, err := wrapper.NewHandlerWrapper(service, guard)
	must(b, err)
	return wrap
}
