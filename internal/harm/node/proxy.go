package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"time"

	"go-micro.dev/v4/registry"
)

// proxyDial is how long the proxy tries to reach an instance before it answers 502.
const proxyDial = 250 * time.Millisecond

// Ready is what a proxy says once it serves.
type Ready struct {
	Address string `json:"address"`
}

// Proxy is the life of a reverse proxy, as it stands beside a service as sidecar or
// gateway: it hands each request to any instance of its service, and answers 502
// when it cannot. It says to out where it listens, takes Changes from in, and
// ends when in does.
func Proxy(ctx context.Context, in io.Reader, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("node: proxy: %w", err)
	}
	reg := registry.NewMemoryRegistry()
	s := newProxyServer(reg)
	failed := make(chan error, 1)
	go func() {
		err := follow(in, reg)
		failed <- errors.Join(err, s.Close())
	}()
	if err := json.NewEncoder(out).Encode(Ready{listener.Addr().String()}); err != nil {
		return fmt.Errorf("node: proxy: %w", err)
	}
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("node: proxy: %w", err)
	}
	return <-failed
}

func newProxyServer(reg registry.Registry) *http.Server {
	dialer := net.Dialer{Timeout: proxyDial}
	plain := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 100}
	h2 := &http.Transport{DialContext: dialer.DialContext, Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { route(reg, r.Out) },
		Transport:     byVersion{plain, h2},
		FlushInterval: -1,
		ErrorLog:      log.New(os.Stderr, "proxy: ", log.LstdFlags),
	}
	s := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols), ErrorLog: proxy.ErrorLog}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// byVersion hands a request on in the version in which it came.
type byVersion struct{ plain, h2 *http.Transport }

// RoundTrip makes the request.
func (v byVersion) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "" {
		return nil, errors.New("node: proxy: no instance")
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		return v.h2.RoundTrip(r)
	}
	return v.plain.RoundTrip(r)
}

// route sends r to any instance of the service it is for, which mucp names in a
// header and the others in the path. Without an instance the host stays empty.
func route(reg registry.Registry, r *http.Request) {
	r.URL.Scheme, r.URL.Host = "http", ""
	endpoint := strings.ToLower(r.Header.Get("Micro-Endpoint") + r.URL.Path)
	for _, service := range []string{LeafService, OuterService, MiddleService, FanService} {
		if !strings.Contains(endpoint, service) {
			continue
		}
		found, err := reg.GetService(service)
		if err != nil || len(found[0].Nodes) == 0 {
			return
		}
		nodes := found[0].Nodes
		r.URL.Host = nodes[rand.IntN(len(nodes))].Address
		return
	}
}
