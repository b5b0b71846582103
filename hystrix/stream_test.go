package hystrix_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	hystrixgo "github.com/afex/hystrix-go/hystrix"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
)

// TestStream: the dashboard is shown a circuit for each address, and a stream ends with
// its client or when it is closed.
func TestStream(t *testing.T) {
	hystrixgo.Flush() // each stream tells of every circuit that there is, and drops what is more than it holds
	showTwo(t)
	synctest.Test(t, func(t *testing.T) { // hystrix tells once a second
		stream := hystrix.NewStream()
		defer stream.Close()
		client := serve(t, stream)
		first, second := open(t, client), open(t, client)
		seen := make(map[string]bool)
		for lines := bufio.NewScanner(first.Body); len(seen) < 2 && lines.Scan(); {
			if name := circuitIn(t, lines.Text()); strings.HasPrefix(name, "shown-") {
				seen[name] = true
			}
		}
		if len(seen) != 2 {
			t.Errorf("circuits %v, want two", seen)
		}
		if err := first.Body.Close(); err != nil {
			t.Error(err)
		}
		stream.Close()
		stream.Close()
		for lines := bufio.NewScanner(second.Body); lines.Scan(); { // ends
			continue
		}
		if err := second.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}

// showTwo makes two circuits, whose goroutines hystrix keeps for ever.
func showTwo(t *testing.T) {
	t.Helper()
	mirror, err := hystrix.NewMirror(hystrix.WithNamePrefix("shown"), hystrix.WithDashboard(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mirror.Close)
	set, err := breaker.New(mirror.Option())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	for _, address := range []string{"a:1", "b:1"} {
		set.Report(address, breaker.Success, time.Now(), time.Millisecond)
	}
}

// circuitIn is the name of the circuit that a line of a stream tells of, if it does.
func circuitIn(t *testing.T, line string) string {
	t.Helper()
	data, ok := strings.CutPrefix(line, "data:")
	if !ok {
		return ""
	}
	var shown struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(data), &shown); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	if shown.Type != "HystrixCommand" {
		return ""
	}
	return shown.Name
}

// serve starts an HTTP server and returns a client of it. Their connections are pipes:
// a network's clock is none of a bubble's.
func serve(t *testing.T, handler http.Handler) *http.Client {
	t.Helper()
	connections := make(pipes)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(connections) }()
	transport := &http.Transport{DialContext: connections.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &http.Client{Transport: transport}
}

// pipes is a listener to whom connections are dialled in the same process.
type pipes chan net.Conn

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p <- there
	return here, nil
}

// Accept implements [net.Listener].
func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// Close implements [net.Listener].
func (p pipes) Close() error {
	close(p)
	return nil
}

// Addr implements [net.Listener].
func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func open(t *testing.T, client *http.Client) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://dashboard/hystrix.stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := rsp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("%s, %s", rsp.Status, got)
	}
	return rsp
}
