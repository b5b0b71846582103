package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// asHelloSrv makes the test binary run hello-srv's main.
const asHelloSrv = "HELLO_SRV_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asHelloSrv) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m,
		// What importing go-micro starts: its global configuration.
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run.func2"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1"),
		// A client's response cache, which ends when it is garbage collected.
		goleak.IgnoreAnyFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
	)
}
