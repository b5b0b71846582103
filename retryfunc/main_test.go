package retryfunc

import (
	"testing"

	"go-micro.dev/v4/logger"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	logger.DefaultLogger = quiet() // go-micro's servers log handlers' panics with it
	opts := append(leak.GoMicro(), leak.MemoryRegistry()...)
	// The Stop of a mucp server whose signal went astray, see stop.
	opts = append(opts, goleak.IgnoreTopFunction("go-micro.dev/v4/server.(*rpcServer).Stop"))
	goleak.VerifyTestMain(m, opts...)
}
