package breaker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/afex/hystrix-go/hystrix"
)

func hystrixOpen(t *testing.T, name string) bool {
	t.Helper()
	c, made, err := hystrix.GetCircuit(name)
	if err != nil || made {
		t.Fatalf("GetCircuit(%q): made %v, error %v", name, made, err)
	}
	return c.IsOpen()
}

// trip opens the circuit of address and returns its name in hystrix.
func trip(t *testing.T, s *Set, c *clock, address string) string {
	t.Helper()
	for range 5 {
		attempt(s, c, address, Broken)
	}
	name, ok := s.Circuit(address)
	if !ok || !isOpen(s, address) {
		t.Fatalf("%s has no circuit (%v) or did not trip", address, ok)
	}
	return name
}

func TestHystrixMirrors(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		t.Run(fmt.Sprintf("dashboard=%v", dashboard), func(t *testing.T) {
			c := newClock()
			s := newSet(t, c, WithPoolSize(2), WithDashboard(dashboard))
			for range 1000 { // which would keep hystrix's own rule from opening
				attempt(s, c, "a:1", Success)
			}
			name := trip(t, s, c, "a:1")
			eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })

			before := c.Now()
			c.advance(time.Second)
			if !s.Probe("a:1", true) {
				t.Fatal("no probe")
			}
			attempt(s, c, "a:1", Broken)
			s.Report("a:1", Success, before.Add(-time.Minute), time.Minute)
			if !hystrixOpen(t, name) {
				t.Fatal("hystrix closed on a failed probe, or on a success from before the trip")
			}
			attempt(s, c, "a:1", Success)
			eventually(t, "hystrix shows the circuit closed", func() bool { return !hystrixOpen(t, name) })
		})
	}
}

func TestHystrixSettings(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1), WithSleepWindow(1500*time.Microsecond))
	name := trip(t, s, c, "a:1")
	got := hystrix.GetCircuitSettings()[name]
	if got.RequestVolumeThreshold != 5 || got.ErrorPercentThreshold != 50 || got.SleepWindow != 2*time.Millisecond {
		t.Errorf("open: %+v, want 5 events, 50 %%, 2ms (rounded up)", got)
	}
	attempt(s, c, "a:1", Success)
	if got = hystrix.GetCircuitSettings()[name]; got.RequestVolumeThreshold != noVolume {
		t.Errorf("closed: %+v, want a volume never reached", got)
	}
}

// A recovery can be quicker than hystrix digests the failures that opened it.
func TestHystrixClosesAfterAnInstantRecovery(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		c := newClock()
		s := newSet(t, c, WithPoolSize(20), WithDashboard(dashboard))
		var names []string
		for i := range 20 {
			address := fmt.Sprintf("10.0.0.%d:1", i)
			names = append(names, trip(t, s, c, address))
			attempt(s, c, address, Success)
		}
		s.Close()
		for _, name := range names {
			eventually(t, "hystrix digested the burst", func() bool {
				r := told.of(name)
				return r.Errors >= 5 && r.Successes >= 1
			})
			eventually(t, "hystrix shows the circuit closed", func() bool { return !hystrixOpen(t, name) })
		}
	}
}

func TestNothingIsReportedWhileClosed(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1))
	for range 100 {
		attempt(s, c, "a:1", Success)
		attempt(s, c, "a:1", Broken)
	}
	if name, ok := s.Circuit("a:1"); ok || s.Stats().Circuits != 0 {
		t.Errorf("a closed circuit leased %q", name)
	}
}

func TestBurstOpensWithFiveFailures(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1))
	attempt(s, c, "a:1", Refused)
	attempt(s, c, "a:1", Refused)
	name, _ := s.Circuit("a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })
	eventually(t, "hystrix digested the burst", func() bool { return told.of(name).Attempts >= 5 })
	if r := told.of(name); r.Failures != 5 || r.Attempts != 5 {
		t.Errorf("hystrix was told %+v, want 5 failures", r)
	}
}

func TestDashboardReportsEveryEvent(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1), WithDashboard(true))
	const blocks = 100
	for i, r := range strings.Repeat("SSSSSSSRSBTFSII", blocks) {
		attempt(s, c, "a:1", letters[r])
		if isOpen(s, "a:1") {
			t.Fatal("tripped: the figures below would not be the events alone")
		}
		if i%1000 == 0 { // hystrix drops what is more than its queue holds
			name, _ := s.Circuit("a:1")
			eventually(t, "hystrix keeps up", func() bool { return told.of(name).Attempts == float64(i+1) })
		}
	}
	name, ok := s.Circuit("a:1")
	if !ok {
		t.Fatal("no circuit")
	}
	eventually(t, "hystrix digested every event", func() bool { return told.of(name).Attempts == 15*blocks })
	r := told.of(name)
	if r.Successes != 9*blocks || r.Failures != 3*blocks || r.Timeouts != blocks || r.ContextCanceled != 2*blocks || r.Errors != 4*blocks {
		t.Errorf("hystrix was told %+v", r)
	}
	if d := s.Stats().Dropped; d != 0 {
		t.Errorf("%d events dropped", d)
	}
}

func TestDashboardBeyondThePool(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(2), WithDashboard(true))
	for i := range 10 {
		attempt(s, c, fmt.Sprintf("10.0.0.%d:1", i), Success)
	}
	if got := s.Stats(); got.Tracked != 2 || got.Circuits != 2 {
		t.Errorf("healthy addresses without a circuit are remembered: %+v", got)
	}
	for range 5 {
		attempt(s, c, "10.0.0.9:1", Broken)
	}
	if !isOpen(s, "10.0.0.9:1") {
		t.Error("an address beyond the pool did not trip")
	}
}

func TestNameRestsBeforeItServesAnother(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1))
	name := trip(t, s, c, "a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })
	attempt(s, c, "a:1", Success)
	closed := c.Now()

	for range 5 {
		attempt(s, c, "b:1", Broken)
	}
	for c.Now().Before(closed.Add(10 * time.Second)) {
		attempt(s, c, "b:1", Broken)
		if got, ok := s.Circuit("b:1"); ok {
			t.Fatalf("%s was reused %v after it closed", got, c.Now().Sub(closed))
		}
		c.advance(500 * time.Millisecond)
	}
	c.advance(time.Second)
	attempt(s, c, "b:1", Broken)
	if got, _ := s.Circuit("b:1"); got != name {
		t.Fatalf("b:1 is shown as %q, want %q", got, name)
	}
	eventually(t, "hystrix shows the reused circuit open", func() bool {
		isOpen(s, "b:1")
		return hystrixOpen(t, name)
	})
}

func TestSetsDoNotShareCircuits(t *testing.T) {
	c := newClock()
	one := newSet(t, c, WithNamePrefix("same"), WithPoolSize(1))
	two := newSet(t, c, WithNamePrefix("same"), WithPoolSize(1))
	first, second := trip(t, one, c, "a:1"), trip(t, two, c, "a:1")
	if first == second || !strings.HasPrefix(first, "same-") || !strings.HasPrefix(second, "same-") {
		t.Errorf("two Sets call their circuits %q and %q", first, second)
	}
	eventually(t, "both are open", func() bool { return hystrixOpen(t, first) && hystrixOpen(t, second) })
	attempt(one, c, "a:1", Success)
	if hystrixOpen(t, first) || !hystrixOpen(t, second) {
		t.Error("closing one closed the other")
	}
}

// Whoever looks at the wrong moment can leave hystrix open on a name at rest.
func TestNameThatHystrixShowsOpenRestsAgain(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithPoolSize(1))
	name := trip(t, s, c, "a:1")
	attempt(s, c, "a:1", Success)
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{RequestVolumeThreshold: anyVolume, ErrorPercentThreshold: anyPercent})
	eventually(t, "hystrix shows the resting circuit open", func() bool { return hystrixOpen(t, name) })
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{RequestVolumeThreshold: noVolume})

	c.advance(cooling)
	for range 5 {
		attempt(s, c, "b:1", Broken)
	}
	if got, ok := s.Circuit("b:1"); ok {
		t.Errorf("%s was lent out although hystrix showed it open", got)
	}
	if hystrixOpen(t, name) {
		t.Error("hystrix was not told to close it")
	}
	c.advance(cooling)
	attempt(s, c, "b:1", Broken)
	if got, ok := s.Circuit("b:1"); got != name {
		t.Errorf("after another rest: %q, %v", got, ok)
	}
}

// hystrix forgets failures after ten seconds, and judges only when asked.
func TestHystrixIsToldAgainWhenNobodyLooked(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		c := newClock()
		s := newSet(t, c, WithPoolSize(1), WithDashboard(dashboard))
		circuit := s.pool.lease(c.Now())
		if hystrixOpenedBy(circuit) {
			t.Fatal("open from the start")
		}
		// As if it had been told long ago, and had forgotten.
		circuit.wanted.Store(true)
		circuit.told, circuit.since = true, time.Now().Add(-2*cooling)
		eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpenedBy(circuit) })
	}
}

func hystrixOpenedBy(c *circuit) bool {
	c.nudge()
	return c.shown.Load()
}

func TestEventsBeyondTheQueueOfHystrixAreCounted(t *testing.T) {
	const sent, queue = 5000, 2000
	c := newClock()
	s := newSet(t, c, WithPoolSize(1), WithDashboard(true))
	told.mu.Lock() // hystrix waits for its collectors
	for range sent {
		attempt(s, c, "a:1", Success)
	}
	dropped := s.Stats().Dropped
	told.mu.Unlock()
	name, _ := s.Circuit("a:1")
	eventually(t, "hystrix digested what it took", func() bool {
		return told.of(name).Attempts == float64(sent-dropped)
	})
	if dropped < sent-queue-1 {
		t.Errorf("%d of %d events dropped, by a queue of %d", dropped, sent, queue)
	}
}
