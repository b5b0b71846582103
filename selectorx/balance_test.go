package selectorx

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

const (
	simClients = 20
	simSlots   = 4 // of each node
	simService = 20 * time.Millisecond
	simTimeout = time.Second
	// A node answers at most 200 a second; five nodes are offered half of that.
	simRate = 500
)

// machine is a simulated node: it answers a few calls at a time, and the others wait.
type machine struct {
	slots  atomic.Pointer[chan struct{}]
	slower atomic.Int64 // its service takes so many times as long
	fails  atomic.Int64 // so many percent of its calls, after 1 ms
	hits   atomic.Int64
}

func newMachine() *machine {
	m := new(machine)
	m.restart()
	m.slower.Store(1)
	return m
}

// restart drops all calls.
func (m *machine) restart() {
	slots := make(chan struct{}, simSlots)
	m.slots.Store(&slots)
}

// serve takes the time of one call, and tells whether it was answered.
func (m *machine) serve() bool {
	m.hits.Add(1)
	if rand.Int64N(100) < m.fails.Load() {
		time.Sleep(time.Millisecond)
		return false
	}
	patience := time.NewTimer(simTimeout)
	defer patience.Stop()
	slots := *m.slots.Load()
	select {
	case slots <- struct{}{}:
	case <-patience.C:
		return false
	}
	done := make(chan struct{})
	work := time.Duration(rand.ExpFloat64() * float64(simService) * float64(m.slower.Load()))
	time.AfterFunc(work, func() { <-slots; close(done) })
	select {
	case <-done:
		return true
	case <-patience.C: // the caller gives up, the machine does not
		return false
	}
}

// simulation is clients that call a fleet of machines.
type simulation struct {
	t        *testing.T
	town     *town
	strategy selector.Strategy
	machines map[string]*machine
	stop     atomic.Bool
	group    sync.WaitGroup

	mu   sync.Mutex
	took []time.Duration
}

// simulate starts clients of five machines.
func simulate(t *testing.T, strategy selector.Strategy) *simulation {
	t.Helper()
	s := &simulation{t: t, town: newTown(), strategy: strategy, machines: map[string]*machine{}}
	for _, address := range numbered(6) { // the last one may join
		s.machines[address] = newMachine()
	}
	s.town.set(nodes("1", numbered(5)...))
	for range simClients {
		f := flat(t, s.town, WithFlatStrategy(strategy))
		s.group.Go(func() { s.client(f) })
	}
	return s
}

func (s *simulation) client(f *Flat) {
	for !s.stop.Load() {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(simClients) / simRate * float64(time.Second)))
		s.group.Go(func() { s.call(f) })
	}
}

// call makes one call, with one retry.
func (s *simulation) call(f *Flat) {
	began := time.Now()
	c := new(Call)
	c.Init(nil, true)
	for range 2 {
		next, err := f.Select("hello", c.SelectOption())
		if err != nil {
			s.t.Error(err)
			return
		}
		node, err := next()
		if err != nil {
			s.t.Error(err)
			return
		}
		load, sent := c.Begin(node.Address), time.Now()
		answered := s.machines[node.Address].serve()
		if answered {
			load.End(OutcomeAnswered, time.Since(sent))
			break
		}
		load.End(OutcomeFailed, time.Since(sent))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = append(s.took, time.Since(began))
}

// during returns what a stretch of time showed.
func (s *simulation) during(d time.Duration) figures {
	s.mu.Lock()
	s.took = nil
	s.mu.Unlock()
	for _, m := range s.machines {
		m.hits.Store(0)
	}
	time.Sleep(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := figures{shares: map[string]float64{}}
	all := 0.0
	for _, m := range s.machines {
		all += float64(m.hits.Load())
	}
	for address, m := range s.machines {
		f.shares[address] = float64(m.hits.Load()) / all
	}
	slices.Sort(s.took)
	for _, d := range s.took {
		f.mean += d / time.Duration(len(s.took))
	}
	f.p99 = s.took[len(s.took)*99/100]
	return f
}

type figures struct {
	shares    map[string]float64
	mean, p99 time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("n0 %.1f %%, mean %v, p99 %v", 100*f.shares["n0"], f.mean.Round(time.Microsecond), f.p99.Round(time.Microsecond))
}

// end ends the simulation; all calls end.
func (s *simulation) end() {
	s.stop.Store(true)
	s.group.Wait()
	time.Sleep(time.Minute) // what machines do for callers who gave up
}

// TestBalanceKeepsAwayFromABadNode: one of five nodes goes bad, and recovers.
func TestBalanceKeepsAwayFromABadNode(t *testing.T) {
	for name, tt := range map[string]struct {
		bad, good func(*machine)
		most      float64 // of the bad node's share
		wait      time.Duration
	}{
		"ten times slower": {func(m *machine) { m.slower.Store(10) }, func(m *machine) { m.slower.Store(1) }, 0.02, 18 * time.Second},
		// A timeout is 50 times what a call takes: it fades in some time.
		"hangs":         {func(m *machine) { m.slower.Store(1e6) }, func(m *machine) { m.slower.Store(1) }, 0.02, time.Minute},
		"fails at once": {func(m *machine) { m.fails.Store(100) }, func(m *machine) { m.fails.Store(0) }, 0.08, 25 * time.Second},
		"fails in part": {func(m *machine) { m.fails.Store(30) }, func(m *machine) { m.fails.Store(0) }, 0.1, 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := simulate(t, nil)
				defer s.end()
				time.Sleep(15 * time.Second)
				steady := s.during(10 * time.Second)
				tt.bad(s.machines["n0"])
				time.Sleep(5 * time.Second)
				bad := s.during(20 * time.Second)
				if name == "hangs" {
					s.machines["n0"].restart()
				}
				tt.good(s.machines["n0"])
				time.Sleep(tt.wait)
				recovered := s.during(5 * time.Second)
				t.Logf("steady: %v; bad: %v; recovered: %v", steady, bad, recovered)
				if share := steady.shares["n0"]; share < 0.14 || share > 0.26 {
					t.Errorf("a healthy node's share is %.3f", share)
				}
				if share := bad.shares["n0"]; share > tt.most {
					t.Errorf("the bad node's share is %.4f, want at most %v", share, tt.most)
				}
				if share := recovered.shares["n0"]; share < 0.15 {
					t.Errorf("%v after it recovered, its share is %.3f, want at least 0.15", tt.wait, share)
				}
			})
		})
	}
}

// TestBalanceAgainstRandom: the mean of all calls while one of five nodes is ten times
// slower, beside that of random choice, which is the control.
func TestBalanceAgainstRandom(t *testing.T) {
	means := map[string]time.Duration{}
	for name, strategy := range map[string]selector.Strategy{"balance": nil, "random": selector.Random} {
		synctest.Test(t, func(t *testing.T) {
			s := simulate(t, strategy)
			defer s.end()
			s.machines["n0"].slower.Store(10)
			time.Sleep(10 * time.Second)
			f := s.during(20 * time.Second)
			t.Logf("%s: %v", name, f)
			means[name] = f.mean
		})
	}
	if ratio := float64(means["balance"]) / float64(means["random"]); ratio > 0.5 {
		t.Errorf("mean is %.2f of random's, want at most 0.5", ratio)
	}
}

// TestBalanceWarmsUpANewNode: a node joins that is ten times slower in its first
// seconds, as one is that has to fill its caches. Nobody may notice.
func TestBalanceWarmsUpANewNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t, nil)
		defer s.end()
		time.Sleep(15 * time.Second)
		steady := s.during(20 * time.Second)
		s.machines["n5"].slower.Store(10)
		s.town.set(nodes("1", numbered(6)...))
		s.town.tell("create", nodes("1", "n5"))
		time.AfterFunc(3*time.Second, func() { s.machines["n5"].slower.Store(1) })
		join := s.during(20 * time.Second)
		time.Sleep(20 * time.Second)
		after := s.during(5 * time.Second)
		t.Logf("steady: %v; join: %v; afterwards the new node has %.3f", steady, join, after.shares["n5"])
		if ratio := float64(join.p99) / float64(steady.p99); ratio > 1.3 {
			t.Errorf("p99 is %.2f of the steady one, want at most 1.3", ratio)
		}
		if share := after.shares["n5"]; share < 0.12 || share > 0.21 {
			t.Errorf("the new node's share is %.3f in the end, want a sixth", share)
		}
	})
}

// A node that nobody knows takes the latency of its rival: else it would get all calls,
// or none.
func TestBalanceOfUnknownNodes(t *testing.T) {
	unknown, quick := &nodeLoad{joined: alwaysThere}, &nodeLoad{joined: alwaysThere}
	quick.inflight.Add(1)
	quick.end(OutcomeAnswered, time.Millisecond, time.Second)
	unknown.inflight.Add(1)
	if got := cheaper(unknown, quick, time.Second); got != quick {
		t.Error("an unknown node with a call in flight won over a known one without")
	}
	unknown.inflight.Add(-1)
	quick.inflight.Add(1)
	if got := cheaper(quick, unknown, time.Second); got != unknown {
		t.Error("a known node with a call in flight won over an unknown one without")
	}
	joined := &nodeLoad{joined: time.Second}
	quick.inflight.Add(-1)
	if got := cheaper(joined, quick, 2*time.Second); got != quick {
		t.Error("a node that has only just joined won over one that was there")
	}
}

// An attempt that was not waited for would have taken at least that long.
func TestBalanceOfCutAttempts(t *testing.T) {
	load := &nodeLoad{joined: alwaysThere}
	predict := func() float64 { latency, _, _ := load.predicted(time.Second); return latency }
	end := func(outcome Outcome, took time.Duration) {
		load.inflight.Add(1)
		load.end(outcome, took, time.Second)
	}
	end(OutcomeAnswered, 10*time.Millisecond)
	if end(OutcomeCut, time.Millisecond); predict() != 0.01 {
		t.Errorf("cut after 1 ms: %v s are predicted, want what was known", predict())
	}
	if end(OutcomeCut, time.Second); predict() != 1 {
		t.Errorf("cut after 1 s: %v s are predicted, want 1", predict())
	}
	if _, factor, _ := load.predicted(time.Second); factor != 1 {
		t.Errorf("cut attempts made the node dearer by %v", factor)
	}
}

// A Load ends once, and the zero Load never began.
func TestLoadEndsOnce(t *testing.T) {
	f := flatOf(t, 3)
	var c Call
	next, err := f.Select("hello", c.SelectOption())
	if err != nil {
		t.Fatal(err)
	}
	address := pick(t, next)
	m, _ := f.known("hello").find(address)
	one, other := c.Begin(address), c.Begin(address)
	if n := m.load.inflight.Load(); n != 2 {
		t.Errorf("%d attempts are in flight, want 2", n)
	}
	for range 2 {
		one.End(OutcomeAnswered, time.Millisecond)
	}
	if n := m.load.inflight.Load(); n != 1 {
		t.Errorf("%d attempts are in flight, want 1", n)
	}
	other.End(OutcomeFailed, time.Millisecond)
	stranger := c.Begin("elsewhere")
	stranger.End(OutcomeFailed, time.Millisecond)
	var zero Load
	zero.End(OutcomeAnswered, time.Millisecond)
	if n := m.load.inflight.Load(); n != 0 {
		t.Errorf("%d attempts are in flight, want none", n)
	}
}

// What was learnt of an address goes with its last node, and no sooner.
func TestLoadsAreTiedToTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := flatTown(t)
		before, _ := f.known("hello").find("b")
		again := nodes("2", "b")
		again.Nodes[0].Id = "another process on the same port"
		r.set(nodes("1", "a", "b"), again)
		r.tell("create", again)
		synctest.Wait()
		r.set(nodes("1", "a"), again)
		r.tell("delete", nodes("1", "b"))
		synctest.Wait()
		now, ok := f.known("hello").find("b")
		if !ok || now.load != before.load {
			t.Error("the load of an address was forgotten while there was a node with it")
		}
		r.set(nodes("1", "a"))
		r.tell("delete", again)
		synctest.Wait()
		r.set(nodes("1", "a"), again)
		r.tell("create", again)
		synctest.Wait()
		if now, ok := f.known("hello").find("b"); !ok || now.load == before.load {
			t.Error("the load of an address was kept without a node")
		}
	})
}

var _ registry.Registry = (*town)(nil)

// TestBalanceDoesNotTakeFailuresForQuick: of three nodes one fails at once what takes the
// others half a second, and more calls are made than the two can take one at a time.
func TestBalanceDoesNotTakeFailuresForQuick(t *testing.T) {
	const calls, between, work = 200, 50 * time.Millisecond, 500 * time.Millisecond
	loads := make([]*nodeLoad, 3)
	for i := range loads {
		loads[i] = &nodeLoad{joined: alwaysThere}
	}
	type ending struct {
		at   time.Duration
		load *nodeLoad
	}
	var running []ending
	failed := 0
	for i := range calls {
		now := time.Minute + time.Duration(i)*between
		for len(running) > 0 && running[0].at <= now {
			running[0].load.end(OutcomeAnswered, work, running[0].at)
			running = running[1:]
		}
		first := rand.IntN(3)
		chosen := cheaper(loads[first], loads[(first+1+rand.IntN(2))%3], now)
		chosen.inflight.Add(1)
		if chosen == loads[0] {
			failed++
			chosen.end(OutcomeFailed, time.Millisecond, now+time.Millisecond)
			continue
		}
		running = append(running, ending{now + work, chosen})
	}
	if failed > calls/8 {
		t.Errorf("%d of %d calls went to the node that fails at once", failed, calls)
	}
}
