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

	// concurrency is how many callers there are, each with one call at a time.
	concurrency = 8
)

// config is what the environment says.
type config struct {
	registry, transport string
	store               string // empty: a SQLite file for each arm
	instances           int
	calls               int // at the least, of oncemore's arm
	// tips are driven beside the reads. They are off while hello-srv does not
	// deduplicate: a tip whose connection breaks is then rightly not repeated,
	// and its caller gets an error.
	tips      bool
	consulBin string // with registryConsul
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
		store:     getenv(storeurl.Variable),
		instances: fewestInstances,
		calls:     defaultCalls,
		tips:      getenv("TIPS") == "1",
	}
	if err := setting.OneOf("REGISTRY", c.registry, registryMemory, registryConsul, registryMDNS); err != nil {
		return config{}, err
	}
	if err := setting.OneOf("TRANSPORT", c.transport, transportMUCP, transportGRPC); err != nil {
		return config{}, err
	}
	if err := setting.OneOf("TIPS", value("TIPS", "0"), "0", "1"); err != nil {
		return config{}, err
	}
	if err := checkStore(c.store); err != nil {
		return config{}, err
	}
	var err error
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
	if c.registry == registryConsul {
		c.consulBin, err = consulFrom(value("CONSUL_BIN", filepath.Join(".cache", "bin", "consul")))
	}
	return c, err
}

func checkStore(value string) error {
	store, err := storeurl.Parse(value)
	if err != nil {
		return err
	}
	return store.CheckSupported()
}

func consulFrom(value string) (string, error) {
	path, err := exec.LookPath(value)
	if err != nil {
		return "", &setting.Error{Name: "CONSUL_BIN", Value: value,
			Allowed: "a Consul agent's program; make .cache/bin/consul builds one"}
	}
	return filepath.Abs(path)
}
