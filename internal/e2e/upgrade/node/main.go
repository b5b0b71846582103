// Command node is one instance of a go-micro service with the plugin: of this
// version, or, built with the tag before against the sources of an earlier one, of
// that. It serves and calls, on one transport, with the records in PostgreSQL. It does
// what the lines of its standard input say, "verb name …", and answers each with
// "verb name: what came of it":
//
//	know NAME SERVICE            from now on, NAME is an instance of SERVICE (JSON)
//	forget NAME                  and now it is none
//	call NAME METHOD KEY BODY [AT]
//	                             calls service.Type.Method, under KEY or, for "-", none of
//	                             its own, at the instance AT or where the selector says
//	publish NAME BODY            answers with the message
//	deliver NAME MESSAGE         answers what the broker is told
//
// A body is "behaviour/id": see behave.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	grpcserver "github.com/go-micro/plugins/v4/server/grpc"
	_ "github.com/jackc/pgx/v5/stdlib"
	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// node is the instance.
type node struct {
	name, service, transport string

	db       *sql.DB
	registry registry.Registry
	broker   *wire
	client   client.Client
	known    peers
}

// run takes everything from the environment, because go-micro reads the arguments.
func run() error {
	n := &node{
		name: os.Getenv("NODE_NAME"), service: os.Getenv("NODE_SERVICE"), transport: os.Getenv("NODE_TRANSPORT"),
		registry: newDirectory(), broker: new(wire),
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if n.db, err = sql.Open("pgx", os.Getenv("NODE_DATABASE")); err != nil {
		return err
	}
	store, err := sqlstore.New(ctx, n.db, sqlstore.WithMigrate())
	if err != nil {
		return err
	}
	plugin, err := oncemore.New(oncemore.WithStore(store, idempotency.WithLease(10*time.Second)))
	if err != nil {
		return err
	}
	service := n.newService()
	service.Init(plugin.Options()...)
	n.client = service.Client()
	if err := n.register(service.Server()); err != nil {
		return err
	}
	if err := subscribe(plugin, service.Server(), n.handle); err != nil {
		return err
	}
	return service.Run()
}

func (n *node) newService() micro.Service {
	serve, call := server.NewServer, client.NewClient
	if n.transport == "grpc" {
		serve, call = grpcserver.NewServer, grpcclient.NewClient
	}
	return micro.NewService(
		micro.Server(serve()), micro.Client(call(client.ContentType("application/protobuf"))),
		micro.Name(n.service), micro.Address("127.0.0.1:0"), micro.Registry(n.registry), micro.Broker(n.broker),
		micro.Selector(selector.NewSelector(selector.Registry(n.registry), withoutCache)),
		micro.AfterStart(n.started),
	)
}

// register adds the handler that the service is made of.
func (n *node) register(s server.Server) error {
	if n.service == "shop" {
		return s.Handle(s.NewHandler(&Shop{n}))
	}
	return s.Handle(s.NewHandler(&Bank{n}, safe("Bank.Balance")))
}

// started tells how the instance is registered, and begins to listen.
func (n *node) started() error {
	services, err := n.registry.GetService(n.service)
	if err != nil {
		return err
	}
	text, err := json.Marshal(services[0])
	if err != nil {
		return err
	}
	fmt.Printf("service: %s\n", text)
	go n.listen()
	return nil
}
