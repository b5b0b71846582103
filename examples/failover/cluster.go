package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
)

// cluster is the processes of one arm.
type cluster struct {
	instances []*process // of hello-srv
	api       *process
	consul    *process // nil without
	url       string   // of user-api
	ledger    string   // the SQLite file
}

// startCluster starts the processes and waits until user-api has reached every
// instance. It returns the cluster also with an error, for end. Programs are in
// binDir; logs, and the ledger unless STORE names one, go to dir.
func startCluster(ctx context.Context, c config, client, binDir, dir string) (*cluster, error) {
	k := &cluster{}
	ports, err := freePorts(ctx, c.instances+1)
	if err != nil {
		return k, err
	}
	nodes, apiAddress := ports[:c.instances], ports[c.instances]

	registryFlags, apiEnv := []string{"--registry", c.registry}, []string{}
	switch c.registry {
	case registryMemory:
		apiEnv = append(apiEnv, "HELLO_NODES="+strings.Join(nodes, ","))
	case registryConsul:
		var address string
		if k.consul, address, err = startConsul(ctx, c.consulBin, dir); err != nil {
			return k, err
		}
		registryFlags = append(registryFlags, "--registry_address", address)
	}

	storeEnv, ledger, err := storage(c.store, dir)
	if err != nil {
		return k, err
	}
	k.ledger = ledger
	for i, address := range nodes {
		instance := &process{
			name:    "hello-" + strconv.Itoa(i+1),
			program: filepath.Join(binDir, "hello-srv"),
			env:     storeEnv,
			ready:   accepting(address),
		}
		instance.logPath = filepath.Join(dir, instance.name+".log")
		instance.args = append([]string{
			"--server", c.transport, "--server_id", instance.name, "--server_address", address, "--server_advertise", address,
		}, registryFlags...)
		k.instances = append(k.instances, instance)
		if err := instance.start(ctx); err != nil {
			return k, err
		}
	}

	k.url = "http://" + apiAddress
	k.api = &process{
		name:    "user-api",
		program: filepath.Join(binDir, "user-api"),
		args:    append([]string{"--client", c.transport}, registryFlags...),
		env:     append(apiEnv, "USER_API_ADDRESS="+apiAddress, "CLIENT="+client),
		logPath: filepath.Join(dir, "user-api.log"),
		ready:   healthy(k.url),
	}
	if err := k.api.start(ctx); err != nil {
		return k, err
	}
	return k, awaitInstances(ctx, k.url, c.instances)
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

func accepting(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func healthy(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", http.NoBody)
		if err != nil {
			return err
		}
		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if rsp.StatusCode != http.StatusOK {
			err = fmt.Errorf("healthz answers %s", rsp.Status)
		}
		return errors.Join(err, rsp.Body.Close())
	}
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
			err = errors.Join(err, p.kill(context.Background()))
		}
	}
	return err
}
