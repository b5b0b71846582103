package consul

import (
	"strconv"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestRollingDeploy: two instances are registered, and the one that executes a
// keyed write is killed in it. Its caller's client may repeat the write only if
// the registry says that both remember in one place, or that the endpoint bears it.
func TestRollingDeploy(t *testing.T) {
	t.Parallel()
	place, elsewhere := bank.Open(t, bank.Postgres), bank.Open(t, bank.Redis)
	a := start(t)
	silent, open := a.config(), a.config()
	silent.Announce, open.FailOpen = false, true
	keyed, idempotent, older := silent, silent, silent
	keyed.Safety, idempotent.Safety, older.Version = retryfunc.SafetyKeyed, retryfunc.SafetyIdempotent, "0.9"
	for i, tt := range []struct {
		name          string
		first, second bank.Config
		place         *bank.Place // of the second
		trust         bool
	}{
		{"both announce one store", a.config(), a.config(), place, true},
		{"one does not announce", a.config(), silent, place, false},
		{"one announces another store", a.config(), a.config(), elsewhere, false},
		{"one may execute without a record", a.config(), open, place, false},
		{"both announce an idempotent endpoint", idempotent, idempotent, place, true},
		{"both announce a keyed endpoint and no store", keyed, keyed, place, false},
		{"an older version announces no endpoint", idempotent, older, place, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) {
					first, second := tt.first, tt.second
					first.Service = "bank-" + strconv.Itoa(i) + "-" + transport // or the dead of other tests are candidates
					second.Service = first.Service
					f := bank.Start(t, place, transport, 1, first)
					f.AddAt(t, tt.place, second)
					brokenWrite(t, a, f, first.Service, tt.trust)
				})
			}
		})
	}
}

func brokenWrite(t *testing.T, a agent, f *bank.Fleet, service string, trust bool) {
	t.Helper()
	awaitNodes(t, a, f, service)
	key := t.Name()
	var report wrapper.Report
	held := f.Director.Hold(bank.Worked, key)
	type answer struct {
		receipt string
		err     error
	}
	answers := make(chan answer, 1)
	c := bank.Wrap(t, f.StockFrom(t, a.registry()))
	go func() {
		receipt, err := bank.Call(wrapper.WithReport(t.Context(), &report), c, service, bank.EndpointPay, key)
		answers <- answer{receipt, err}
	}()
	f.Node(t, held.Wait(t)).Kill()
	got := <-answers
	executions := f.Director.Count(bank.Before, key)
	if trust {
		if rows := f.Place.Receipts(t, key); got.err != nil || len(rows) != 1 || rows[0] != got.receipt || executions != 2 {
			t.Errorf("answered %q, %v after %v; rows %q of %d executions", got.receipt, got.err, report.Attempts, rows, executions)
		}
		return
	}
	if got.err == nil || report.Class() != retryfunc.Broken || len(report.Attempts) != 1 || executions != 1 {
		t.Errorf("answered %q, %v after %v, %d executions; want one attempt, broken", got.receipt, got.err, report.Attempts, executions)
	}
}

// awaitNodes returns when the registry knows all instances.
func awaitNodes(t *testing.T, a agent, f *bank.Fleet, service string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < time.Minute; <-tick.C {
		services, err := a.registry().GetService(service)
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, s := range services {
			known += len(s.Nodes)
		}
		if known == len(f.Nodes) {
			return
		}
	}
	t.Fatal("the registry does not know all instances")
}
