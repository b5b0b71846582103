//go:build linux

package arm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/harm/cell"
	"github.com/oncemore-dev/oncemore/internal/harm/node"
	"github.com/oncemore-dev/oncemore/internal/harm/process"
	"github.com/oncemore-dev/oncemore/internal/harm/program"
)

// startTime bounds the start of a process.
const startTime = 60 * time.Second

// Roles in which this program is run once more, as its first argument.
const (
	RoleArm   = "arm"
	RoleNode  = "node"
	RoleProxy = "proxy"
)

// fleet is all processes that an arm owns.
type fleet struct {
	spec   Spec
	redis  string // host:port; empty without a store
	leaves []*instance
	fronts []*instance      // outermost last
	proxy  *process.Process // nil without one
	// proxyAddress is where the proxy listens.
	proxyAddress string

	ports     []*port
	processes []*process.Process
}

// instance is a process that serves.
type instance struct {
	spec    node.Spec
	process *process.Process
	service *registry.Service // as it registered itself
	killed  bool              // by a fault
}

// startFleet starts what the cell needs. The fleet is to be ended, also after
// an error.
func startFleet(ctx context.Context, s Spec) (*fleet, error) {
	f := &fleet{spec: s}
	if s.Wrapped && s.Cell.Safety == cell.Keyed {
		if err := f.startRedis(ctx); err != nil {
			return f, err
		}
	}
	if s.Cell.Around == cell.Proxy {
		if err := f.startProxy(ctx); err != nil {
			return f, err
		}
	}
	if err := f.startLeaves(ctx); err != nil {
		return f, err
	}
	if s.Cell.Fleet == cell.OneVanished {
		if err := f.addVanished(ctx); err != nil {
			return f, err
		}
	}
	return f, f.startFronts(ctx)
}

// instances is how many leaves are started.
func instances(c cell.Cell) int {
	n := 3
	if c.Workload == cell.Fan {
		n++
	}
	switch c.Fleet {
	case cell.Moved:
		return 2 // one of them is to come
	case cell.OneVanished:
		return n - 1
	default:
		return n
	}
}

func (f *fleet) startLeaves(ctx context.Context) error {
	for i := range instances(f.spec.Cell) {
		n := f.newInstance(node.LeafService, i)
		switch {
		case i == 0 && f.spec.Cell.Fleet == cell.OneSlow:
			n.spec.Slow = 4 * callersTime / 10
		case i == 0 && f.spec.Cell.Fleet == cell.OneFailing:
			n.spec.Failing = true
		}
		f.leaves = append(f.leaves, n)
	}
	return f.startAll(ctx, f.leaves)
}

// startFronts starts the services before the leaves, and tells each of its callees.
func (f *fleet) startFronts(ctx context.Context) error {
	names := map[string][]string{
		cell.Chain: {node.MiddleService, node.OuterService},
		cell.Fan:   {node.FanService},
	}[f.spec.Cell.Workload]
	for _, name := range names {
		f.fronts = append(f.fronts, f.newInstance(name, 0))
	}
	if err := f.startAll(ctx, f.fronts); err != nil {
		return err
	}
	return f.announce(node.Change{Register: f.listed()}, nil)
}

// listed is what the registry knows at the start.
func (f *fleet) listed() []*registry.Service {
	leaves := f.leaves
	if f.spec.Cell.Fleet == cell.Moved {
		leaves = leaves[:1]
	}
	var all []*registry.Service
	for _, n := range slices.Concat(leaves, f.fronts) {
		all = append(all, n.service)
	}
	return all
}

// announce tells everybody who calls: the fronts, the proxy, and own.
func (f *fleet) announce(c node.Change, own registry.Registry) error {
	var errs []error
	for _, n := range f.fronts {
		errs = append(errs, n.process.Send(c))
	}
	if f.proxy != nil {
		errs = append(errs, f.proxy.Send(c))
	}
	if own != nil {
		errs = append(errs, c.Apply(own))
	}
	return errors.Join(errs...)
}

func (f *fleet) newInstance(service string, i int) *instance {
	id := service + "-" + strconv.Itoa(i)
	return &instance{spec: node.Spec{
		Program: program.Spec{
			Name: service, ID: id,
			Client: f.spec.Cell.Client, Around: f.spec.Cell.Around, Safety: f.spec.Cell.Safety,
			Wrapped: f.spec.Wrapped, Redis: f.redis,
		},
		Safety:  f.spec.Cell.Safety,
		Journal: filepath.Join(f.spec.Dir, "journal"),
	}}
}

// startAll starts instances at once, since each takes a while.
func (f *fleet) startAll(ctx context.Context, all []*instance) error {
	for _, n := range all {
		p, err := reserve()
		if err != nil {
			return err
		}
		f.ports = append(f.ports, p)
		n.spec.Program.Address = p.address
		if err := f.launch(n); err != nil {
			return err
		}
	}
	for _, n := range all {
		if err := n.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// launch starts the instance's process.
func (f *fleet) launch(n *instance) (err error) {
	n.process, err = f.start(n.spec.Program.ID, RoleNode, n.spec)
	return err
}

// await returns once the instance serves.
func (n *instance) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	n.service = new(registry.Service)
	return n.process.Receive(ctx, n.service)
}

func (f *fleet) startProxy(ctx context.Context) (err error) {
	if f.proxy, err = f.start(RoleProxy, RoleProxy, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var ready node.Ready
	if err := f.proxy.Receive(ctx, &ready); err != nil {
		return err
	}
	f.proxyAddress = ready.Address
	return nil
}

// start runs this program in a role, with a spec for its argument.
func (f *fleet) start(name, role string, spec any) (*process.Process, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("arm: %w", err)
	}
	argument, err := encode(spec)
	if err != nil {
		return nil, err
	}
	p, err := process.Start(process.Command{
		Name: name, Program: executable, Args: []string{role, argument}, Env: f.proxied(), Dir: f.spec.Dir,
	})
	if err == nil {
		f.processes = append(f.processes, p)
	}
	return p, err
}

// proxied is what makes go-micro's clients use the proxy. The http client looks
// at another variable for an address than the others do.
func (f *fleet) proxied() []string {
	if f.proxyAddress == "" {
		return nil
	}
	return []string{"MICRO_PROXY=" + f.proxyAddress, "MICRO_PROXY_ADDRESS=" + f.proxyAddress}
}

// startRedis starts the store of the wrapped arm.
func (f *fleet) startRedis(ctx context.Context) error {
	p, err := reserve()
	if err != nil {
		return err
	}
	f.ports = append(f.ports, p)
	server, err := process.Start(process.Command{
		Name: "redis", Program: "redis-server", Dir: f.spec.Dir,
		Args: []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(p.number), "--save", "", "--loglevel", "warning"},
	})
	if err != nil {
		return err
	}
	f.processes = append(f.processes, server)
	f.redis = p.address
	return awaitPort(ctx, p.address)
}

// awaitPort returns once somebody listens.
func awaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("arm: nobody listens on %s: %w", address, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// addVanished lists an instance whose host has gone.
func (f *fleet) addVanished(ctx context.Context) error {
	p, err := reserve()
	if err != nil {
		return err
	}
	f.ports = append(f.ports, p)
	if err := p.vanish(ctx); err != nil {
		return err
	}
	gone := *f.leaves[0].service
	listed := *gone.Nodes[0]
	listed.Id, listed.Address = node.LeafService+"-vanished", p.address
	gone.Nodes = append([]*registry.Node{&listed}, gone.Nodes...)
	f.leaves[0].service = &gone
	return nil
}

// crashed tells of instances that have ended by themselves.
func (f *fleet) crashed() error {
	var errs []error
	for _, n := range slices.Concat(f.leaves, f.fronts) {
		if n.process.Ended() && !n.killed {
			errs = append(errs, fmt.Errorf("arm: %s ended by itself:\n%s", n.spec.Program.ID, n.process.Tail()))
		}
	}
	return errors.Join(errs...)
}

// end ends all processes and gives the ports back.
func (f *fleet) end() error {
	var errs []error
	for _, p := range f.processes {
		errs = append(errs, p.Close())
	}
	for _, p := range f.ports {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}
