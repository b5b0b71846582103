// Command hello-srv is the service that the examples call: it greets, counts,
// and gives students money, and tells which instance did so.
//
// It takes go-micro's standard flags (--server_address, --server_id,
// --server grpc, --registry consul, --registry_address, …) and --faults, with
// which a request's metadata may make it misbehave, and --slow=DURATION, by which
// one call in ten takes longer. Wallet.Tip needs an
// Idempotency-Key and runs once for it. STORE says where the records that see
// to it are kept, which all instances must share:
//
//	sqlite:PATH         a file, with the ledger in it; written together. The default,
//	                    in the folder for temporary files
//	mysql://u:p@h/db    the same, in MySQL or MariaDB
//	postgres://u:p@h/db the same, in PostgreSQL
//	redis://h:6379/0    in Redis, apart from the ledger, which is asked what became
//	                    of a tip whose instance died
//	memory:             in each instance's own memory: no use with two of them
//	none:               nowhere: a tip runs as often as it arrives
//
// With the last three LEDGER says where the ledger is: sqlite:PATH, mysql://… or
// postgres://….
//
// METRICS_ADDRESS=host:port serves Prometheus' metrics on /metrics, and TRACES=FILE appends
// OpenTelemetry's spans to a file, where a store is kept.
//
//	STORE=sqlite:/tmp/hello.db hello-srv --server_address 127.0.0.1:9001
//	STORE=redis://127.0.0.1:6379/0 LEDGER=sqlite:/tmp/hello.db hello-srv --registry consul
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	_ "github.com/go-micro/plugins/v4/registry/consul" // --registry consul
	_ "github.com/go-micro/plugins/v4/server/grpc"     // --server grpc
	"github.com/urfave/cli/v2"
	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/examples/internal/flagcheck"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

const (
	serviceName    = "hello-srv"
	defaultAddress = "127.0.0.1:0"

	exitFailure = 1
	exitUsage   = 2
)

func main() {
	err := run()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", serviceName, err)
	if _, notAllowed := errors.AsType[*setting.Error](err); notAllowed {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailure)
}

func run() (err error) {
	storage, err := storageFrom(os.Getenv)
	if err != nil {
		return err
	}
	service, flags, err := newService()
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	book, store, err := storage.open(context.Background())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close(), book.Close()) }()

	observed, stopWatching, err := watch(os.Getenv, store.Store, book)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopWatching()) }()

	injected := faults{enabled: flags.faults, exit: os.Exit, slow: flags.slow}
	service.Init(micro.WrapHandler(injected.afterHandler, injected.slowly))
	if store.Store != nil {
		plugin, err := newPlugin(store.Store, storage.store.Kind, book, observed)
		if err != nil {
			return err
		}
		service.Init(plugin.Options()...)
	}
	if err := register(service, book, injected, store.Store != nil); err != nil {
		return err
	}
	logger.Infof("Store %s: %s", storage.store, storage)
	return service.Run()
}

// flags are the command line's values that go-micro does not apply itself.
type flags struct {
	name, address, id string
	faults            bool
	slow              time.Duration
}

// newService parses the command line. What does not come from a flag is set
// afterwards: --server replaces the server, and with it whatever it was told.
func newService() (micro.Service, flags, error) {
	var parsed flags
	service := micro.NewService(
		micro.Server(server.NewServer(server.Wait(nil))), // a stopped instance finishes its calls
		micro.Name(serviceName),
		micro.Flags(
			&cli.BoolFlag{Name: "faults", Usage: "Let a request's Fault metadata make this instance misbehave"},
			&cli.DurationFlag{Name: "slow", Usage: "Take so much longer for one call in ten, up to 1m"},
		),
		micro.Action(func(c *cli.Context) error {
			parsed = flags{
				name:    c.String("server_name"),
				address: c.String("server_address"),
				id:      c.String("server_id"),
				faults:  c.Bool("faults"),
				slow:    c.Duration("slow"),
			}
			return nil
		}),
	)
	if err := flagcheck.Init(service); err != nil {
		return nil, parsed, err
	}
	if parsed.slow < 0 || parsed.slow > longestSleep {
		return nil, parsed, &setting.Error{Name: "--slow", Value: parsed.slow.String(), Allowed: "a duration of up to 1m"}
	}
	service.Init(micro.Broker(broker.NewMemoryBroker())) // nothing is published: no port for it
	if parsed.name == "" {
		service.Init(micro.Name(serviceName))
	}
	switch {
	case parsed.address == "":
		service.Init(micro.Address(defaultAddress))
	case parsed.id == "":
		// Tells whoever reads an answer which terminal it came from.
		service.Init(micro.AddListenOption(server.Id(parsed.address)))
	}
	return service, parsed, nil
}
