package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

// asHelloSrv makes the test binary run hello-srv's main.
const asHelloSrv = "HELLO_SRV_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asHelloSrv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m, leak.GoMicro()...)
}
