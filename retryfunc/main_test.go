package retryfunc

import (
	"testing"

	"go-micro.dev/v4/logger"
	"go.uber.org/goleak"
)

// immortal are the goroutines that go-micro starts and nobody can stop: those of
// its package-level client cache and configuration, of memory registries, and
// the Stop of a mucp server whose signal went astray (see stop).
var immortal = []string{
	"github.com/patrickmn/go-cache.(*janitor).Run",
	"go-micro.dev/v4/config.(*config).run.func2",
	"go-micro.dev/v4/config/loader/memory.(*watcher).Next",
	"go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1",
	"go-micro.dev/v4/registry.(*memRegistry).ttlPrune",
	"go-micro.dev/v4/server.(*rpcServer).Stop",
}

func TestMain(m *testing.M) {
	logger.DefaultLogger = quiet() // go-micro's servers log handlers' panics with it
	opts := make([]goleak.Option, len(immortal))
	for i, function := range immortal {
		opts[i] = goleak.IgnoreTopFunction(function)
	}
	goleak.VerifyTestMain(m, opts...)
}
