package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// lentControl lets user-api hurt the instances that this program has started.
type lentControl struct {
	url   string
	close func() error // may be called again
}

// lend serves a fleet's control on the loopback interface, below a path that nobody can
// guess.
func lend(ctx context.Context, f control.Fleet) (*lentControl, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	path := "/" + rand.Text()
	server := &http.Server{Handler: http.StripPrefix(path, control.NewHandler(f)), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return &lentControl{
		url: "http://" + listener.Addr().String() + path,
		close: sync.OnceValue(func() error {
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
			defer cancel()
			err := server.Shutdown(drain)
			if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
				err = errors.Join(err, served)
			}
			return err
		}),
	}, nil
}
