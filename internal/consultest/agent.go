//go:build linux

package consultest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// Agent is a Consul agent that a test owns. Kill, Stop, Freeze, Thaw and
// Restart come from proctest.Process. It is safe for concurrent use.
type Agent struct {
	*proctest.Process

	address string
}

// Start starts an agent and returns when it answers for its catalogue.
// Arguments are those of consul agent and come after its own.
func Start(tb testing.TB, args ...string) *Agent {
	tb.Helper()
	port := func() string { return strconv.Itoa(proctest.ReservePort(tb)) }
	http := proctest.ReservePort(tb)
	address := proctest.Address(http)
	process := proctest.Start(tb, proctest.Command{
		Name: "Consul at " + address,
		Path: binary(tb),
		Args: append([]string{
			"agent", "-dev", "-node", "consultest", "-bind", "127.0.0.1", "-client", "127.0.0.1",
			"-http-port", strconv.Itoa(http), "-server-port", port(), "-serf-lan-port", port(),
			"-serf-wan-port", "-1", "-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1",
			"-log-level", "warn", "-hcl", "disable_update_check = true",
		}, args...),
		Ready: func(ctx context.Context) error { return ready(ctx, address) },
	})
	return &Agent{Process: process, address: address}
}

// Address returns the host:port of the agent's HTTP API. It stays the same
// across Restart.
func (a *Agent) Address() string { return a.address }

// ready tells whether the agent has elected itself and knows its own node,
// which is when it accepts registrations.
func ready(ctx context.Context, address string) error {
	var nodes []json.RawMessage
	if err := get(ctx, "http://"+address+"/v1/catalog/nodes", &nodes); err != nil {
		return err
	}
	if len(nodes) == 0 {
		return errors.New("the catalogue is empty")
	}
	return nil
}

func get(ctx context.Context, url string, answer any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A client of its own leaves no connection behind.
	transport := &http.Transport{DisableKeepAlives: true}
	rsp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rsp.Body.Close()) }()
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, rsp.Status)
	}
	return json.NewDecoder(rsp.Body).Decode(answer)
}

const (
	// envBinary names the program to run.
	envBinary = "CONSUL_BIN"
	// built is where make deps puts it, below the module's folder.
	built = ".cache/bin/consul"
	// module is the first line of the go.mod there.
	module = "module github.com/oncemore-dev/oncemore"
)

// binary returns the path of the agent's program, or fails the test.
func binary(tb testing.TB) string {
	tb.Helper()
	path, hint := os.Getenv(envBinary), "correct "+envBinary
	if path == "" {
		root, err := moduleRoot()
		if err != nil {
			tb.Fatalf("consultest: %v", err)
		}
		path, hint = filepath.Join(root, built), "run: make -C "+root+" deps"
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("consultest: no Consul agent: %v; %s", err, hint)
	}
	return path
}

// moduleRoot looks for the root module's folder from the working folder, which
// go test sets to the package's, upwards.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		line, err := firstLine(filepath.Join(dir, "go.mod"))
		if err == nil && line == module {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the %s", start, module)
		}
	}
}

func firstLine(name string) (line string, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	line, err = bufio.NewReader(file).ReadString('\n')
	return strings.TrimSpace(line), err
}
