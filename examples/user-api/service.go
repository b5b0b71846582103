package main

import (
	"github.com/urfave/cli/v2"
	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/examples/internal/flagcheck"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

// helloService is the service that is called.
const helloService = "hello-srv"

// newService parses the command line and gives a service of which only the
// client is used. With nodes, that client looks nothing up.
func newService(nodes []string) (micro.Service, error) {
	var registryFlag string
	service := micro.NewService(
		micro.Name(programName),
		micro.Action(func(c *cli.Context) error {
			registryFlag = c.String("registry")
			return nil
		}),
	)
	if err := flagcheck.Init(service); err != nil {
		return nil, err
	}
	service.Init(micro.Broker(broker.NewMemoryBroker())) // nothing is published: no port for it
	if err := service.Client().Init(seeReplays); err != nil {
		return nil, err
	}

	if len(nodes) == 0 {
		if registryFlag == "memory" { // in which nobody could ever register
			return nil, &setting.Error{Name: "HELLO_NODES", Allowed: "set with --registry memory, to host:port or several separated by commas"}
		}
		return service, nil
	}
	if registryFlag != "" && registryFlag != "memory" {
		return nil, &setting.Error{Name: "--registry", Value: registryFlag, Allowed: "memory, or unset, with HELLO_NODES"}
	}
	return service, lookInto(service.Client(), preloaded(nodes, service.Client().String()))
}

// preloaded returns a registry that knows these nodes of hello-srv for good.
// They announce nothing about themselves, as registered ones would.
func preloaded(addresses []string, protocol string) registry.Registry {
	nodes := make([]*registry.Node, len(addresses))
	for i, address := range addresses {
		nodes[i] = &registry.Node{
			Id:       helloService + "-" + address,
			Address:  address,
			Metadata: map[string]string{"protocol": protocol}, // without it go-micro assumes an older one
		}
	}
	return registry.NewMemoryRegistry(registry.Services(map[string][]*registry.Service{
		helloService: {{Name: helloService, Version: "latest", Nodes: nodes}},
	}))
}

// lookInto makes c find services in r, with a selector of its own: otherwise
// client.Registry would turn go-micro's global selector to r.
func lookInto(c client.Client, r registry.Registry) error {
	return c.Init(client.Selector(selector.NewSelector(selector.Registry(r))), client.Registry(r))
}
