package main

import (
	"os/exec"
	"path/filepath"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/setting"
)

const (
	registryMemory = "memory"
	registryConsul = "consul"
	registryMDNS   = "mdns"

	transportMUCP = "mucp"
	transportGRPC = "grpc"

	// One instance is killed, one frozen, and one must be left.
	fewestInstances, mostInstances = 3, 20
	fewestCalls, mostCalls         = 100, 10_000_000
	defaultCalls                   = 2000
	mostRuns                       = 1000

	// concurrency is how many callers there are, each with one call at a time.
	concurrency = 8
)

// config is what the environment says.
type config struct {
	registry, transport string
	store               storeurl.Store // zero: a SQLite file for each arm
	instances           int
	calls               int    // at the least, of oncemore's arm
	runs                int    // of oncemore's arm
	consulBin           string // with registryConsul
	// apiAddress is where user-api listens when all goes on until it is interrupted;
	// empty: anywhere.
	apiAddress string
	// measured tells to serve the instances' metrics.
	measured bool
	// control is the URL by which user-api may hurt the instances; empty: it may not.
	control string
}

func configFrom(getenv func(string) string) (config, error) {
	value := func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
	c := config{
		registry:  value("REGISTRY", registryMemory),
		transport: value("TRANSPORT", transportMUCP),
		instances: fewestInstances,
		calls:     defaultCalls,
		runs:      1,
	}
	if err := setting.OneOf("REGISTRY", c.registry, registryMemory, registryConsul, registryMDNS); err != nil {
		return config{}, err
	}
	if err := setting.OneOf("TRANSPORT", c.transport, transportMUCP, transportGRPC); err != nil {
		return config{}, err
	}
	var err error
	if v := getenv(storeurl.Variable); v != "" {
		if c.store, err = storeurl.Parse(v); err != nil {
			return config{}, err
		}
	}
	if v := getenv("INSTANCES"); v != "" {
		if c.instances, err = setting.Int("INSTANCES", v, fewestInstances, mostInstances); err != nil {
			return config{}, err
		}
	}
	if v := getenv("CALLS"); v != "" {
		if c.calls, err = setting.Int("CALLS", v, fewestCalls, mostCalls); err != nil {
			return config{}, err
		}
	}
	if v := getenv("RUNS"); v != "" {
		if c.runs, err = setting.Int("RUNS", v, 1, mostRuns); err != nil {
			return config{}, err
		}
	}
	if v := getenv("USER_API_ADDRESS"); v != "" {
		if c.apiAddress, err = setting.Address("USER_API_ADDRESS", v); err != nil {
			return config{}, err
		}
	}
	if c.registry == registryConsul {
		c.consulBin, err = consulFrom(value("CONSUL_BIN", filepath.Join(".cache", "bin", "consul")))
	}
	return c, err
}

// storeName is the store as it may be shown.
func (c config) storeName() string {
	if c.store == (storeurl.Store{}) {
		return "sqlite: in a file for each arm"
	}
	return c.store.String()
}

func consulFrom(value string) (string, error) {
	path, err := exec.LookPath(value)
	if err != nil {
		return "", &setting.Error{Name: "CONSUL_BIN", Value: value,
			Allowed: "a Consul agent's program; make .cache/bin/consul builds one"}
	}
	return filepath.Abs(path)
}
