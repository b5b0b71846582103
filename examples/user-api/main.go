// Command user-api is the browser's way to hello-srv: a gin server that calls
// it through oncemore, so that an instance of hello-srv that dies costs no
// request.
//
//	GET  /                      a page that shows what oncemore does meanwhile
//	GET  /user/test             {"message":"Hello xuxu","instance":"…","attempts":1}
//	GET  /user/tip-form         {"idempotency_key":"form.…","expires_at":"…"}; a browser gets the form itself
//	POST /user/tip              {"student":"xuxu","amount_cents":500}, header Idempotency-Key
//	GET  /user/balance/:student {"student":"xuxu","balance_cents":500}
//	GET  /hystrix.stream        the circuits of the instances, for Hystrix' dashboard
//	GET  /healthz               {"status":"ok"}
//
// A tip that is sent again with its Idempotency-Key is the same tip. The key may
// be any that the browser makes up, or the one that came with a form, which is
// signed and can be submitted for an hour. Beside 200 a tip is answered 400 (bad
// key or body), 409 (still running, or outcome unknown: send it again, after
// Retry-After), 412 (the form is too old), 422 (another tip has this key), 503
// (no instance, or no store: nothing was done). With --client grpc an answer
// that had been given before has the header Idempotent-Replayed: true;
// go-micro's own transport cannot tell.
//
// It deduplicates nothing itself: the key goes on to hello-srv, which shares its
// store among its instances, so that this server needs none, and a tip that it was
// killed over is found again through any other. A service that does the work itself
// would use the middleware of package idempotency/httpguard (see examples/recipes).
//
// The header Attempts tells how many attempts an answer took, and
// Failed-Attempts where those that failed went and how each of them ended.
//
// It takes go-micro's standard flags (--client grpc, --registry consul,
// --registry_address, …). USER_API_ADDRESS is where it listens
// (127.0.0.1:8080); HELLO_NODES=host:port,… names the instances of hello-srv
// instead of a registry. HELLO_KEYS=vouched says that they all deduplicate in
// one store, so that a tip without an answer may be sent again; it is the
// default with HELLO_NODES, where nobody announces anything, and
// HELLO_KEYS=announced, which waits to be told through the registry, without.
// FORM_SECRET, of 32 bytes or more, signs the forms; without it they are good
// for this process only. CLIENT=hedged has oncemore send what takes long to a
// second instance; CLIENT=stock and CLIENT=hystrix replace it by what is compared
// with it. TRACES=FILE appends OpenTelemetry's spans to a file.
//
// The page is for whoever can reach this server, and tells addresses of instances and
// errors. LEDGER, as hello-srv has it, lets the page compare what was acknowledged with
// what is in the ledger. CONTROL_URL, which make run sets, gives it buttons that kill,
// freeze and restart instances.
package main

import (
	"context"
	"errors"
	"flag"
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

	"github.com/oncemore-dev/oncemore/examples/internal/metrics"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
	"github.com/oncemore-dev/oncemore/examples/internal/traces"
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

func run() (err error) {
	c, err := configFrom(os.Getenv)
	if err != nil {
		return err
	}
	service, err := newService(c.nodes)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	circuits, err := newCircuits()
	if err != nil {
		return err
	}
	defer circuits.close()
	spans, err := traces.Open(programName, os.Getenv(traces.Variable))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spans.Close()) }()
	seen, err := metrics.New(spans.Options()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.Close()) }()
	tokens := newTokens(c.secret)
	shown, err := newPage(c, tokens)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shown.close()) }()
	hello, err := newCaller(c, service, watching{circuits, seen, shown.Observer()}, log)
	if err != nil {
		return err
	}
	if c.secret == "" {
		log.Warn("FORM_SECRET is not set: forms that were given out are good until this process ends, and at no other; " +
			"give every user-api the same 32 bytes or more")
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newAPI(hello, tokens, log)
	a.circuits, a.metrics, a.page = circuits.stream, seen, shown.Page
	leave := func() {
		circuits.stream.Close()
		shown.Close()
	}
	return serve(ctx, c.address, newRouter(a), leave, log)
}

// serve answers requests until ctx ends, and then finishes those that run; leave ends
// the ones that never would.
func serve(ctx context.Context, address string, handler http.Handler, leave func(), log *slog.Logger) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: callTimeout}
	server.RegisterOnShutdown(leave)
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
