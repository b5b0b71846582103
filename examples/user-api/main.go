// Command user-api is the browser's way to hello-srv: a gin server that calls
// it through oncemore, so that an instance of hello-srv that dies costs no
// request.
//
//	GET  /user/test             {"message":"Hello xuxu","instance":"…","attempts":1}
//	POST /user/tip              {"student":"xuxu","amount_cents":500}, header Idempotency-Key
//	GET  /user/balance/:student {"student":"xuxu","balance_cents":500}
//	GET  /healthz               {"status":"ok"}
//
// It takes go-micro's standard flags (--client grpc, --registry consul,
// --registry_address, …). USER_API_ADDRESS is where it listens
// (127.0.0.1:8080); HELLO_NODES=host:port,… names the instances of hello-srv
// instead of a registry; CLIENT=stock and CLIENT=hystrix replace oncemore by
// what is compared with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/go-micro/plugins/v4/client/grpc"     // --client grpc
	_ "github.com/go-micro/plugins/v4/registry/consul" // --registry consul

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

const (
	programName = "user-api"

	exitFailure = 1
	exitUsage   = 2

	// drainTime is how long a stopping server waits for its requests.
	drainTime = callTimeout + time.Second
)

func main() {
	err := run()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", programName, err)
	if _, notAllowed := errors.AsType[*setting.Error](err); notAllowed {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailure)
}

func run() error {
	c, err := configFrom(os.Getenv)
	if err != nil {
		return err
	}
	service, err := newService(c.nodes)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	hello, err := newCaller(c.client, service, log)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return serve(ctx, c.address, newRouter(newAPI(hello)), log)
}

// serve answers requests until ctx ends, and then finishes those that run.
func serve(ctx context.Context, address string, handler http.Handler, log *slog.Logger) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: callTimeout}
	stopped := make(chan error, 1)
	stopOnce := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		stopped <- server.Shutdown(drain)
	})
	log.Info("listening", "address", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		stopOnce()
		return err
	}
	return <-stopped
}
