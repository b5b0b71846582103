// Package outage takes the store away from a bank that is at work, and gives it
// back.
package outage

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/e2e/bank"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) { bank.Main(m) }

const (
	instances = 3
	callers   = 8
	// before is how many calls are answered before the store goes, and after
	// how many since it came back.
	before, after = 50, 100
	// refusals is how many callers are told while the store is away.
	refusals = 2 * callers
	// storeTimeout is short, so that a frozen store is soon noticed.
	storeTimeout = 500 * time.Millisecond
)

// traffic are callers who make one keyed call after the other, and repeat a
// call, under its key, until it is acknowledged.
type traffic struct {
	t       *testing.T
	fleet   *bank.Fleet
	client  client.Client
	breaker *breaker.Set
	trips   atomic.Int64

	stop    chan struct{}
	callers sync.WaitGroup

	next, refused, unsure, failed atomic.Int64
	answered, told                meter

	mu           sync.Mutex
	acknowledged map[string]string // key → receipt
}

// meter counts, and wakes who waits for a count.
type meter struct {
	mu    sync.Mutex
	count int
	waits map[int]chan struct{}
}

func (m *meter) add() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	if wait, ok := m.waits[m.count]; ok {
		close(wait)
	}
}

// more returns a channel that is closed when n more were counted.
func (m *meter) more(n int) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waits == nil {
		m.waits = make(map[int]chan struct{})
	}
	wait, ok := m.waits[m.count+n]
	if !ok {
		wait = make(chan struct{})
		m.waits[m.count+n] = wait
	}
	return wait
}

// start begins the traffic, through one client of the default settings.
func start(t *testing.T, f *bank.Fleet) *traffic {
	t.Helper()
	tr := &traffic{t: t, fleet: f, stop: make(chan struct{}), acknowledged: make(map[string]string)}
	var err error
	if tr.breaker, err = breaker.New(breaker.WithHook(func(breaker.Transition) { tr.trips.Add(1) })); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.breaker.Close)
	tr.client = f.Client(t, wrapper.WithBreaker(tr.breaker))
	for range callers {
		tr.callers.Go(tr.call)
	}
	return tr
}

// call is the life of one caller.
func (tr *traffic) call() {
	for {
		select {
		case <-tr.stop:
			return
		default:
		}
		key := fmt.Sprintf("%s/%d", tr.t.Name(), tr.next.Add(1))
		for {
			receipt, err := bank.Pay(tr.t.Context(), tr.client, key)
			if err == nil {
				tr.acknowledge(key, receipt)
				tr.answered.add()
				break
			}
			if !tr.mayRepeat(err) {
				return
			}
		}
	}
}

func (tr *traffic) acknowledge(key, receipt string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.acknowledged[key] = receipt
}

// mayRepeat looks at how a call failed: it must have been refused, or, where the
// store went during the commit, not know, or, where the ledger is in the store and
// went while the handler was writing, have failed as the handler did.
func (tr *traffic) mayRepeat(err error) bool {
	mark, _ := retryfunc.ParseMark(err)
	e := merrors.FromError(err)
	switch {
	case mark.Kind == retryfunc.MarkRefused && e.Code == http.StatusServiceUnavailable:
		tr.refused.Add(1)
		tr.told.add()
	case mark.Kind == retryfunc.MarkRunning:
		tr.unsure.Add(1)
	case tr.fleet.Place.Kind.Transactional() && strings.HasPrefix(e.Detail, bank.LedgerFailed):
		tr.failed.Add(1)
	default:
		tr.t.Errorf("a call failed: %s", bank.Story(err))
		return false
	}
	return true
}

// await returns when it has happened, or fails the test.
func (tr *traffic) await(what string, happened <-chan struct{}) {
	tr.t.Helper()
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case <-happened:
	case <-timer.C:
		tr.t.Errorf("%s did not happen", what)
	}
}

// end stops the callers and audits: one row for each key, whose receipt was
// acknowledged, and is again. No instance was blamed.
func (tr *traffic) end() {
	tr.t.Helper()
	close(tr.stop)
	tr.callers.Wait()
	for key, receipt := range tr.acknowledged {
		if rows := tr.fleet.Place.Receipts(tr.t, key); len(rows) != 1 || rows[0] != receipt {
			tr.t.Errorf("%s: acknowledged %q, rows %q", key, receipt, rows)
		}
		if again, err := bank.Pay(tr.t.Context(), tr.client, key); err != nil || again != receipt {
			tr.t.Errorf("%s: acknowledged %q, now %q, %v", key, receipt, again, err)
		}
	}
	count := len(tr.acknowledged)
	if made := int(tr.next.Load()); count != made {
		tr.t.Errorf("%d calls of %d were acknowledged", count, made)
	}
	if n := tr.trips.Load(); n != 0 || tr.breaker.AnyOpen() {
		tr.t.Errorf("circuits opened or closed %d times; the instances were healthy", n)
	}
	tr.t.Logf("%d calls, refused %d times, unsure %d times, failed by the handler %d times",
		count, tr.refused.Load(), tr.unsure.Load(), tr.failed.Load())
}

// TestFailClosed: while the store is away nothing is executed that is not
// recorded, callers are refused with a 503, and all goes on by itself when it
// comes back.
func TestFailClosed(t *testing.T) {
	t.Parallel()
	type fault struct {
		name       string
		away, back func(*bank.Place)
	}
	killed := fault{"killed", func(p *bank.Place) { p.Server.Kill() }, func(p *bank.Place) { p.Server.Restart() }}
	frozen := fault{"frozen", func(p *bank.Place) { p.Server.Freeze() }, func(p *bank.Place) { p.Server.Thaw() }}
	for _, tt := range []struct {
		kind   bank.Kind
		args   []string
		faults []fault
	}{
		// A server that may forget what it has acknowledged is another matter.
		{bank.Redis, []string{"--appendonly", "yes", "--appendfsync", "always"}, []fault{killed, frozen}},
		{bank.MariaDB, nil, []fault{killed, frozen}},
		{bank.Postgres, nil, []fault{killed, frozen}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel() // callers wait for most of the time
			place := bank.Open(t, tt.kind, tt.args...)
			for _, transport := range fixture.Transports() {
				for _, fault := range tt.faults {
					t.Run(transport+" "+fault.name, func(t *testing.T) {
						f := bank.Start(t, place, transport, instances, bank.Config{
							StoreTimeout: storeTimeout, Lease: time.Minute,
						})
						tr := start(t, f)
						tr.await("the first calls", tr.answered.more(before))
						refused := tr.told.more(refusals)
						fault.away(place)
						tr.await("a refusal", refused)
						fault.back(place)
						tr.await("the recovery", tr.answered.more(after))
						tr.end()
					})
				}
			}
		})
	}
}

// TestFailOpen: without the store everything is executed, and counted.
func TestFailOpen(t *testing.T) {
	place := bank.Open(t, bank.Redis)
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			f := bank.Start(t, place, transport, instances, bank.Config{FailOpen: true, StoreTimeout: storeTimeout})
			c := f.Client(t)
			unrecorded := 0
			for i := range 2 * before {
				if i == before {
					place.Server.Kill()
				}
				key := fmt.Sprintf("%s/%d", t.Name(), i)
				receipt, err := bank.Pay(t.Context(), c, key)
				if rows := place.Receipts(t, key); err != nil || len(rows) != 1 || rows[0] != receipt {
					t.Errorf("%s: %q, %v; rows %q", key, receipt, err, rows)
				}
				counted := f.Director.Count(bank.Event("unrecorded"), key)
				unrecorded += counted
				if want := i >= before; (counted == 1) != want || counted > 1 {
					t.Errorf("%s: counted %d times as unrecorded; the store was away: %v", key, counted, want)
				}
			}
			place.Server.Restart()
			awaitRecorded(t, f, c)
		})
	}
}

// awaitRecorded returns when a call is recorded again. A client of Redis that has
// failed often does not knock at once.
func awaitRecorded(t *testing.T, f *bank.Fleet, c client.Client) {
	t.Helper()
	for start, i := time.Now(), 0; ; i++ {
		key := fmt.Sprintf("%s/back/%d", t.Name(), i)
		if _, err := bank.Pay(t.Context(), c, key); err != nil {
			t.Fatal(err)
		}
		if f.Director.Count(bank.Event("unrecorded"), key) == 0 {
			return
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the store is back, and not used")
		}
	}
}
