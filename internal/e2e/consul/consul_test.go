// Package consul puts the instances of a bank into a real registry, where they
// come, die, are found out, and come back.
package consul

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/consultest"
	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
)

func TestMain(m *testing.M) { bank.Main(m) }

const (
	// ttl is how long a silent instance stays in the registry.
	ttl      = 6 * time.Second
	interval = 2 * time.Second
	callers  = 4
	// pause is a caller's between two payments, and after how many it makes when
	// what it was to see has happened.
	pause = 100 * time.Millisecond
	after = 5
)

// agent is a Consul agent, and what it knows of the bank.
type agent struct {
	*consultest.Agent
	t *testing.T
}

// start starts an agent that deregisters at once what has been critical for long
// enough, rather than within half a minute.
func start(t *testing.T) agent {
	t.Helper()
	return agent{consultest.Start(t, "-hcl", `check_reap_interval = "1s"`), t}
}

func (a agent) registry() registry.Registry { return consul.NewRegistry(registry.Addrs(a.Address())) }

// config has an instance announce itself, and its store.
func (a agent) config() bank.Config {
	return bank.Config{Announce: true, Consul: a.Address(), RegisterTTL: ttl, RegisterInterval: interval}
}

// status is the state of an instance's check, "" if it is not registered.
func (a agent) status(node *fixture.Node) string {
	a.t.Helper()
	rsp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(a.get("/v1/agent/checks"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer rsp.Body.Close()
	var checks map[string]struct {
		ServiceID string `json:"ServiceID"` //nolint:tagliatelle // Consul's
		Status    string `json:"Status"`    //nolint:tagliatelle // Consul's
	}
	if err := json.NewDecoder(rsp.Body).Decode(&checks); err != nil {
		a.t.Fatal(err)
	}
	for _, check := range checks {
		if strings.HasSuffix(check.ServiceID, node.ID()) {
			return check.Status
		}
	}
	return ""
}

func (a agent) get(path string) *http.Request {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://"+a.Address()+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return req
}

// await returns when the check of an instance has the status.
func (a agent) await(node *fixture.Node, status string) {
	a.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); a.status(node) != status; <-tick.C {
		if time.Since(start) > 3*time.Minute {
			a.t.Fatalf("%s is %q, not %q", node.ID(), a.status(node), status)
		}
	}
}

// traffic is keyed payments by a client that trusts keys only as far as the
// registry says that it may.
type traffic struct {
	t      *testing.T
	fleet  *bank.Fleet
	client client.Client
	next   atomic.Int64

	mu   sync.Mutex
	paid map[string]string // key → receipt
}

// during makes payments until event has returned, and some more. No caller may
// notice anything.
func (tr *traffic) during(event func()) {
	tr.t.Helper()
	var (
		group sync.WaitGroup
		over  atomic.Bool
	)
	for range callers {
		group.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for more := after; more > 0; <-tick.C {
				if over.Load() {
					more--
				}
				tr.pay(fmt.Sprintf("%s/%d", tr.t.Name(), tr.next.Add(1)))
			}
		})
	}
	event()
	over.Store(true)
	group.Wait()
}

func (tr *traffic) pay(key string) {
	receipt, err := bank.Pay(tr.t.Context(), tr.client, key)
	if err != nil {
		tr.t.Errorf("a caller noticed: %s", bank.Story(err))
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.paid[key] = receipt
}

// audit: one row for each payment, and everyone has its receipt.
func (tr *traffic) audit() {
	tr.t.Helper()
	for key, receipt := range tr.paid {
		if rows := tr.fleet.Place.Receipts(tr.t, key); len(rows) != 1 || rows[0] != receipt {
			tr.t.Errorf("%s: paid %q, rows %q", key, receipt, rows)
		}
	}
	if made := int(tr.next.Load()); len(tr.paid) != made {
		tr.t.Errorf("%d of %d payments were answered", len(tr.paid), made)
	}
}

// TestFailover: an instance is registered and called, killed, found out by Consul
// (critical), deregistered, and comes back and is called again. Payments go on
// all the while: no caller notices anything, and each is made once.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			t.Parallel() // most of the time is Consul's minute
			a := start(t)
			f := bank.Start(t, bank.Open(t, bank.Postgres), transport, 3, a.config())
			victim := f.Nodes[0]
			for _, node := range f.Nodes {
				a.await(node, "passing")
			}
			tr := &traffic{t: t, fleet: f, paid: make(map[string]string), client: bank.Wrap(t, f.StockFrom(t, a.registry()))}

			tr.during(func() {
				tr.awaitExecution(victim)
				victim.Kill()
				a.await(victim, "critical")
				a.await(victim, "")
				victim.Restart()
				a.await(victim, "passing")
				tr.awaitExecution(victim)
			})
			tr.audit()
		})
	}
}

// awaitExecution pays until the instance executes a payment: the registry's news
// takes its time to arrive.
func (tr *traffic) awaitExecution(node *fixture.Node) {
	tr.t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < 2*time.Minute; <-tick.C {
		key := fmt.Sprintf("%s/%d", tr.t.Name(), tr.next.Add(1))
		tr.pay(key)
		if v := tr.fleet.Director.Visits(bank.Before, key); len(v) > 0 && v[0].Process == node.ID() {
			return
		}
	}
	tr.t.Errorf("%s is not called", node.ID())
}
