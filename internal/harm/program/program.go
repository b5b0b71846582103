// Package program is what both arms run: an ordinary go-micro service, as go-micro
// made it or with oncemore installed as README says, with its defaults.
package program

import (
	"context"
	"fmt"
	"os"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	httpclient "github.com/go-micro/plugins/v4/client/http"
	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	httpserver "github.com/go-micro/plugins/v4/server/http"
	"github.com/go-micro/plugins/v4/wrapper/select/roundrobin"
	"github.com/redis/go-redis/v9"
	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Spec says what the program is.
type Spec struct {
	// Name is the service's name, ID the instance's, and Address where it
	// serves; one that only calls needs no Address.
	Name    string `json:"name"`
	ID      string `json:"id"`
	Address string `json:"address"`
	// Client is a value of cell's dimension: the client and the server in use.
	Client string `json:"client"`
	// Around is a value of cell's dimension: what stands around the client.
	Around string `json:"around"`
	// Safety is a value of cell's dimension. Servers announce it; who calls
	// through a proxy does not see that, and has to be told.
	Safety string `json:"safety"`
	// Wrapped installs oncemore.
	Wrapped bool `json:"wrapped"`
	// Redis is the host:port of a store for oncemore; empty means no store.
	Redis string `json:"redis"`
}

// Program is a service, and the registry it knows its callees by.
type Program struct {
	micro.Service

	Registry registry.Registry
}

// New makes the program. It reads no flags, though go-micro does.
func New(ctx context.Context, s Spec) (*Program, error) {
	os.Args = os.Args[:1]
	logger.DefaultLogger = logger.NewLogger(logger.WithLevel(logger.ErrorLevel))
	reg := registry.NewMemoryRegistry()
	service := micro.NewService(
		micro.Server(newServer(s)),
		micro.Client(newClient(s.Client)),
		micro.Broker(broker.NewMemoryBroker()),
		micro.Registry(reg),
		micro.Selector(selector.NewSelector(selector.Registry(reg))),
		micro.HandleSignal(false),
	)
	service.Init()
	switch s.Around {
	case cell.Inside:
		service.Init(micro.WrapClient(tracing))
	case cell.RoundRobin:
		service.Init(micro.WrapClient(roundrobin.NewClientWrapper()))
	}
	if s.Wrapped {
		plugin, err := newPlugin(ctx, s)
		if err != nil {
			return nil, err
		}
		service.Init(plugin.Options()...)
	}
	if s.Around == cell.Outside {
		service.Init(micro.WrapClient(tracing))
	}
	return &Program{Service: service, Registry: reg}, nil
}

func newClient(kind string) client.Client {
	switch kind {
	case cell.GRPC:
		return grpcclient.NewClient()
	case cell.HTTP:
		return httpclient.NewClient(client.ContentType("application/protobuf"))
	default:
		return client.NewClient(client.ContentType("application/protobuf"))
	}
}

func newServer(s Spec) server.Server {
	opts := []server.Option{
		server.Name(s.Name), server.Id(s.ID), server.Address(s.Address), server.Advertise(s.Address),
	}
	switch s.Client {
	case cell.GRPC:
		return grpcserver.NewServer(opts...)
	case cell.HTTP:
		return httpserver.NewServer(opts...)
	default:
		return server.NewServer(opts...)
	}
}

func newPlugin(ctx context.Context, s Spec) (*oncemore.Plugin, error) {
	var opts []oncemore.Option
	if s.Safety == cell.Safe && s.Around == cell.Proxy {
		opts = append(opts, oncemore.WithClient(wrapper.WithSafety(allSafe)))
	}
	if s.Redis != "" {
		store, err := redisstore.New(ctx, redis.NewClient(&redis.Options{Addr: s.Redis, ContextTimeoutEnabled: true}))
		if err != nil {
			return nil, fmt.Errorf("program: %w", err)
		}
		opts = append(opts, oncemore.WithStore(store))
	}
	return oncemore.New(opts...)
}

func allSafe(context.Context, client.Request) retryfunc.Safety { return retryfunc.SafetySafe }
