package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/control"
)

// cluster is the processes of one arm.
type cluster struct {
	config   config
	programs string // the folder they are in
	dir      string // of the logs, and of the ledger unless STORE names one
	arm      arm

	instances []*process // of hello-srv
	api       *process
	consul    *process // nil without
	url       string   // of user-api
	ledger    storeurl.Store

	registryFlags []string
}

// places are where the processes of a cluster listen.
type places struct {
	instances []string
	metrics   []string // of the instances
	api       string
	registry  []string
}

// freePlaces finds all of them at once: what is free is taken only when its process
// listens.
func freePlaces(ctx context.Context, c config) (places, error) {
	n := c.instances
	addresses, err := freePorts(ctx, 2*n+1+consulPorts)
	if err != nil {
		return places{}, err
	}
	return places{instances: addresses[:n], metrics: addresses[n : 2*n], api: addresses[2*n], registry: addresses[2*n+1:]}, nil
}

// startCluster starts the processes of an arm and waits until user-api has
// reached every instance. It returns the cluster also with an error, for end.
func startCluster(ctx context.Context, c config, a arm, at places, programs, dir string) (*cluster, error) {
	k := &cluster{config: c, arm: a, programs: programs, dir: dir}
	if err := k.startRegistry(ctx, at.registry); err != nil {
		return k, err
	}
	if err := k.startInstances(ctx, at); err != nil {
		return k, err
	}
	if err := k.startAPI(ctx, at.api, at.instances); err != nil {
		return k, err
	}
	return k, awaitInstances(ctx, k.url, c.instances)
}

// startRegistry starts a Consul agent if one is wanted.
func (k *cluster) startRegistry(ctx context.Context, addresses []string) error {
	k.registryFlags = []string{"--registry", k.config.registry}
	if k.config.registry != registryConsul {
		return nil
	}
	agent, err := newConsul(k.config.consulBin, k.dir, addresses)
	if err != nil {
		return err
	}
	k.consul = agent
	k.registryFlags = append(k.registryFlags, "--registry_address", addresses[0])
	return agent.start(ctx)
}

func (k *cluster) startInstances(ctx context.Context, at places) error {
	store, ledger := k.arm.storage(k.config, k.dir)
	k.ledger = ledger
	env := []string{
		storeurl.Variable + "=" + store.Environment(),
		storeurl.LedgerVariable + "=" + ledger.Environment(),
	}
	for i, address := range at.instances {
		instance := k.process("hello-srv", "hello-"+strconv.Itoa(i+1), accepting(address))
		instance.env, instance.address = slices.Clone(env), address
		if k.config.measured {
			instance.metrics = at.metrics[i]
			instance.env = append(instance.env, "METRICS_ADDRESS="+instance.metrics)
		}
		instance.args = append(instance.args, "--server", k.config.transport, "--server_id", instance.name,
			"--server_address", address, "--server_advertise", address)
		if i == slow {
			instance.args = append(instance.args, "--slow", slowness.String())
		}
		k.instances = append(k.instances, instance)
		if err := instance.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (k *cluster) startAPI(ctx context.Context, address string, nodes []string) error {
	k.url = "http://" + address
	k.api = k.process("user-api", "user-api", healthy(k.url))
	k.api.args = append(k.api.args, "--client", k.config.transport)
	k.api.env = []string{"USER_API_ADDRESS=" + address, "CLIENT=" + k.arm.client, storeurl.LedgerVariable + "=" + k.ledger.Environment()}
	if k.arm.vouched {
		k.api.env = append(k.api.env, "HELLO_KEYS=vouched")
	}
	if k.config.control != "" {
		k.api.env = append(k.api.env, control.Variable+"="+k.config.control)
	}
	if k.config.registry == registryMemory {
		k.api.env = append(k.api.env, "HELLO_NODES="+strings.Join(nodes, ","))
	}
	return k.api.start(ctx)
}

// process is one that is told where the registry is, and not yet started.
func (k *cluster) process(program, name string, ready func(context.Context) error) *process {
	return &process{
		name:    name,
		program: filepath.Join(k.programs, program),
		args:    slices.Clone(k.registryFlags),
		logPath: filepath.Join(k.dir, name+".log"),
		ready:   ready,
	}
}

// inFile is the SQLite file that is used unless STORE names something.
func inFile(dir string) storeurl.Store {
	return storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(dir, "ledger.db")}
}

// stop ends the processes in order, so that every call that runs is finished
// and its row written. It is an error if one of them had ended by itself.
func (k *cluster) stop(ctx context.Context) error {
	err := k.api.stop(ctx)
	for _, instance := range k.instances {
		err = errors.Join(err, instance.stop(ctx))
	}
	return err
}

// end kills what still runs.
func (k *cluster) end() error {
	var err error
	for _, p := range append(append([]*process{k.api}, k.instances...), k.consul) {
		if p != nil {
			err = errors.Join(err, p.kill())
		}
	}
	return err
}
