package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// cluster is the processes of one arm.
type cluster struct {
	config   config
	programs string // the folder they are in
	dir      string // of the logs, and of the ledger unless STORE names one

	instances []*process // of hello-srv
	api       *process
	consul    *process // nil without
	url       string   // of user-api
	ledger    string   // the SQLite file

	registryFlags []string
}

// startCluster starts the processes and waits until user-api, which calls as
// client says, has reached every instance. It returns the cluster also with an
// error, for end.
func startCluster(ctx context.Context, c config, client, programs, dir string) (*cluster, error) {
	k := &cluster{config: c, programs: programs, dir: dir}
	// All at once: what is free is taken only when its process listens.
	addresses, err := freePorts(ctx, c.instances+1+consulPorts)
	if err != nil {
		return k, err
	}
	nodes, api, registry := addresses[:c.instances], addresses[c.instances], addresses[c.instances+1:]
	if err := k.startRegistry(ctx, registry); err != nil {
		return k, err
	}
	if err := k.startInstances(ctx, nodes); err != nil {
		return k, err
	}
	if err := k.startAPI(ctx, api, client, nodes); err != nil {
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

func (k *cluster) startInstances(ctx context.Context, addresses []string) error {
	env, ledger, err := storage(k.config.store, k.dir)
	if err != nil {
		return err
	}
	k.ledger = ledger
	for i, address := range addresses {
		instance := k.process("hello-srv", "hello-"+strconv.Itoa(i+1), accepting(address))
		instance.env = env
		instance.args = append(instance.args, "--server", k.config.transport, "--server_id", instance.name,
			"--server_address", address, "--server_advertise", address)
		k.instances = append(k.instances, instance)
		if err := instance.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (k *cluster) startAPI(ctx context.Context, address, client string, nodes []string) error {
	k.url = "http://" + address
	k.api = k.process("user-api", "user-api", healthy(k.url))
	k.api.args = append(k.api.args, "--client", k.config.transport)
	k.api.env = []string{"USER_API_ADDRESS=" + address, "CLIENT=" + client}
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

// storage says what hello-srv is told about its store, and where its ledger
// will be.
func storage(value, dir string) (env []string, ledger string, err error) {
	ledger = filepath.Join(dir, "ledger.db")
	if value == "" {
		return []string{storeurl.Variable + "=sqlite:" + ledger}, ledger, nil
	}
	store, err := storeurl.Parse(value)
	if err != nil {
		return nil, "", err
	}
	if store.Kind == storeurl.SQLite {
		return []string{storeurl.Variable + "=" + value}, store.Path, nil
	}
	return []string{storeurl.Variable + "=" + value, "LEDGER=" + ledger}, ledger, nil
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
