package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if n, value, _ := strings.Cut(pair, "="); n == name {
				return value
			}
		}
		return ""
	}
}

func TestConfigFrom(t *testing.T) {
	consul := filepath.Join(t.TempDir(), "consul")
	if err := os.WriteFile(consul, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  []string
		want config
	}{
		{nil, config{registry: "memory", transport: "mucp", instances: 3, calls: 2000, runs: 1}},
		{
			[]string{"REGISTRY=mdns", "TRANSPORT=grpc", "INSTANCES=5", "CALLS=100", "RUNS=20", "STORE=none:"},
			config{registry: "mdns", transport: "grpc", instances: 5, calls: 100, runs: 20, store: storeurl.Store{Kind: storeurl.None}},
		},
		{
			[]string{"REGISTRY=consul", "CONSUL_BIN=" + consul},
			config{registry: "consul", transport: "mucp", instances: 3, calls: 2000, runs: 1, consulBin: consul},
		},
	} {
		if got, err := configFrom(env(tt.env...)); err != nil || got != tt.want {
			t.Errorf("%v: %+v, %v, want %+v", tt.env, got, err, tt.want)
		}
	}
}

func TestBadSettingsEndTheDriverAtOnce(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"REGISTRY=etcd", `REGISTRY="etcd": must be one of memory, consul, mdns`},
		{"TRANSPORT=http", `TRANSPORT="http": must be one of mucp, grpc`},
		{"INSTANCES=2", `INSTANCES="2": must be a whole number from 3 to 20`},
		{"CALLS=99", `CALLS="99": must be a whole number from 100 to 10000000`},
		{"RUNS=0", `RUNS="0": must be a whole number from 1 to 1000`},
		{"CALLS=lots", `CALLS="lots": must be a whole number from 100 to 10000000`},
		{"STORE=etcd:", `STORE="etcd:": must be memory:, sqlite:PATH,`},
		{"STORE=mysql://127.0.0.1", `STORE="mysql://127.0.0.1": must be memory:, sqlite:PATH,`},
	} {
		var out bytes.Buffer
		err := start(t.Context(), &out, env(tt.env))
		var notAllowed *setting.Error
		if !errors.As(err, &notAllowed) || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: error = %v, want %s", tt.env, err, tt.want)
		}
		if exitStatus(err) != exitUsage || out.Len() > 0 {
			t.Errorf("%s: exit status %d after %q", tt.env, exitStatus(err), out.String())
		}
	}
}

// TestArgumentsStartNothing: the driver takes none, and says so.
func TestArgumentsStartNothing(t *testing.T) {
	for argument, want := range map[string]int{"--help": 0, "-h": 0, "grpc": exitUsage} {
		var out bytes.Buffer
		err := run(t.Context(), &out, []string{argument}, env("INSTANCES=0")) // which would end it otherwise
		if got := exitStatus(err); got != want {
			t.Errorf("%s: exit status %d, want %d: %v", argument, got, want, err)
		}
		if want == 0 && !strings.Contains(out.String(), "INSTANCES") {
			t.Errorf("%s: said %q, want the usage", argument, out.String())
		}
	}
}

func TestConsulIsOnlyNeededForItsRegistry(t *testing.T) {
	if _, err := configFrom(env("CONSUL_BIN=/nonexistent/consul")); err != nil {
		t.Error(err)
	}
	_, err := configFrom(env("REGISTRY=consul", "CONSUL_BIN=/nonexistent/consul"))
	if err == nil || !strings.HasPrefix(err.Error(), `CONSUL_BIN="/nonexistent/consul": must be a Consul agent`) {
		t.Errorf("error = %v", err)
	}
}

func TestExitStatus(t *testing.T) {
	if got := exitStatus(nil); got != 0 {
		t.Errorf("without an error: %d", got)
	}
	if got := exitStatus(errInterrupted); got != exitFailure {
		t.Errorf("with an error: %d", got)
	}
}
