package bench

import (
	"testing"

	"go-micro.dev/v4/logger"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	// go-micro tells of every server that starts, between the results.
	logger.DefaultLogger = logger.NewLogger(logger.WithLevel(logger.ErrorLevel))
	goleak.VerifyTestMain(m, append(leak.GoMicro(), leak.Hystrix()...)...)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
