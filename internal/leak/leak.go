// Package leak names the goroutines that libraries under test keep for ever, so
// that tests can look for leaks of our own. Each is matched by exact function.
package leak

import "go.uber.org/goleak"

// GoMicro ignores what go-micro starts when it is imported, and the janitor of
// each client's cache, which the garbage collector stops.
func GoMicro() []goleak.Option {
	return ignore(
		"go-micro.dev/v4/config.(*config).run",
		"go-micro.dev/v4/config.(*config).run.func2",
		"go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1",
		"github.com/patrickmn/go-cache.(*janitor).Run",
		"go-micro.dev/v4/server.(*rpcServer).Stop", // that was not heard, see package fixture
	)
}

// Hystrix ignores the two goroutines that hystrix-go keeps for each circuit
// ever made. Package hystrix bounds their number, and its tests count them.
func Hystrix() []goleak.Option {
	return ignore(
		"github.com/afex/hystrix-go/hystrix.(*metricExchange).Monitor",
		"github.com/afex/hystrix-go/hystrix.(*poolMetrics).Monitor",
	)
}

// MemoryRegistry ignores what prunes a memory registry, which cannot be closed.
func MemoryRegistry() []goleak.Option {
	return ignore("go-micro.dev/v4/registry.(*memRegistry).ttlPrune")
}

// HTTPBroker ignores the connections between go-micro's HTTP brokers, which cannot be
// closed.
func HTTPBroker() []goleak.Option {
	return ignore(
		"net/http.(*persistConn).readLoop",
		"net/http.(*persistConn).writeLoop",
		"net/http.(*conn).serve",
	)
}

func ignore(functions ...string) []goleak.Option {
	options := make([]goleak.Option, len(functions))
	for i, function := range functions {
		options[i] = goleak.IgnoreAnyFunction(function)
	}
	return options
}
