package hystrix

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	hystrixgo "github.com/afex/hystrix-go/hystrix"

	"github.com/oncemore-dev/oncemore/breaker"
)

func hystrixOpen(t *testing.T, name string) bool {
	t.Helper()
	c, made, err := hystrixgo.GetCircuit(name)
	if err != nil || made {
		t.Fatalf("GetCircuit(%q): made %v, error %v", name, made, err)
	}
	return c.IsOpen()
}

// letters abbreviates events.
var letters = map[rune]breaker.Event{
	'S': breaker.Success, 'R': breaker.Refused, 'U': breaker.Unreachable, 'B': breaker.Broken,
	'T': breaker.Timeout, 'O': breaker.Outrun, 'F': breaker.Failure, 'I': breaker.Ignored,
}

func TestHystrixMirrors(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		t.Run(fmt.Sprintf("dashboard=%v", dashboard), func(t *testing.T) {
			s := show(t, WithPoolSize(2), WithDashboard(dashboard))
			for range 1000 { // which would keep hystrix's own rule from opening
				s.attempt("a:1", breaker.Success)
			}
			name := s.trip(t, "a:1")
			eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })

			before := s.clock.Now()
			s.clock.advance(time.Second)
			if !s.Probe("a:1", true) {
				t.Fatal("no probe")
			}
			s.attempt("a:1", breaker.Broken)
			s.Report("a:1", breaker.Success, before.Add(-time.Minute), time.Minute)
			if !hystrixOpen(t, name) {
				t.Fatal("hystrix closed on a failed probe, or on a success from before the trip")
			}
			s.attempt("a:1", breaker.Success)
			eventually(t, "hystrix shows the circuit closed", func() bool { return !hystrixOpen(t, name) })
		})
	}
}

func TestHystrixSettings(t *testing.T) {
	s := showSet(t, []breaker.Option{breaker.WithSleepWindow(1500 * time.Microsecond)}, WithPoolSize(1))
	name := s.trip(t, "a:1")
	got := hystrixgo.GetCircuitSettings()[name]
	if got.RequestVolumeThreshold != 5 || got.ErrorPercentThreshold != 50 || got.SleepWindow != 2*time.Millisecond {
		t.Errorf("open: %+v, want 5 events, 50 %%, 2ms (rounded up)", got)
	}
	s.attempt("a:1", breaker.Success)
	if got = hystrixgo.GetCircuitSettings()[name]; got.RequestVolumeThreshold != noVolume {
		t.Errorf("closed: %+v, want a volume never reached", got)
	}
}

// A recovery can be quicker than hystrix digests the failures that opened it.
func TestHystrixClosesAfterAnInstantRecovery(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		s := show(t, WithPoolSize(20), WithDashboard(dashboard))
		var names []string
		for i := range 20 {
			address := fmt.Sprintf("10.0.0.%d:1", i)
			names = append(names, s.trip(t, address))
			s.attempt(address, breaker.Success)
		}
		s.Close()
		for _, name := range names {
			eventually(t, "hystrix digested the burst", func() bool {
				r := digested.of(name)
				return r.Errors >= 5 && r.Successes >= 1
			})
			eventually(t, "hystrix shows the circuit closed", func() bool { return !hystrixOpen(t, name) })
		}
	}
}

func TestNothingIsReportedWhileClosed(t *testing.T) {
	s := show(t, WithPoolSize(1))
	for range 100 {
		s.attempt("a:1", breaker.Success)
		s.attempt("a:1", breaker.Broken)
	}
	if name, ok := s.mirror.Circuit("a:1"); ok || s.mirror.Stats().Circuits != 0 {
		t.Errorf("a closed circuit leased %q", name)
	}
}

func TestBurstOpensWithFiveFailures(t *testing.T) {
	s := show(t, WithPoolSize(1))
	s.attempt("a:1", breaker.Refused)
	s.attempt("a:1", breaker.Refused)
	name, _ := s.mirror.Circuit("a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })
	eventually(t, "hystrix digested the burst", func() bool { return digested.of(name).Attempts >= 5 })
	if r := digested.of(name); r.Failures != 5 || r.Attempts != 5 {
		t.Errorf("hystrix was told %+v, want 5 failures", r)
	}
}

func TestDashboardReportsEveryEvent(t *testing.T) {
	s := show(t, WithPoolSize(1), WithDashboard(true))
	const blocks = 100
	for i, r := range strings.Repeat("SSSSSSSRSBTFSOUSII", blocks) {
		s.attempt("a:1", letters[r])
		if s.isOpen("a:1") {
			t.Fatal("tripped: the figures below would not be the events alone")
		}
		if i%1000 == 0 { // hystrix drops what is more than its queue holds
			name, _ := s.mirror.Circuit("a:1")
			eventually(t, "hystrix keeps up", func() bool { return digested.of(name).Attempts == float64(i+1) })
		}
	}
	name, ok := s.mirror.Circuit("a:1")
	if !ok {
		t.Fatal("no circuit")
	}
	eventually(t, "hystrix digested every event", func() bool { return digested.of(name).Attempts == 18*blocks })
	r := digested.of(name)
	got := [...]float64{r.Successes, r.Failures, r.Timeouts, r.ContextCanceled, r.Errors}
	if want := [...]float64{10 * blocks, 3 * blocks, 3 * blocks, 2 * blocks, 6 * blocks}; got != want {
		t.Errorf("hystrix digested successes, failures, timeouts, cancellations, errors %v, want %v", got, want)
	}
	if d := s.mirror.Stats().Dropped; d != 0 {
		t.Errorf("%d events dropped", d)
	}
}

func TestDashboardBeyondThePool(t *testing.T) {
	s := show(t, WithPoolSize(2), WithDashboard(true))
	for i := range 10 {
		s.attempt(fmt.Sprintf("10.0.0.%d:1", i), breaker.Success)
	}
	if got := s.mirror.Stats().Circuits; got != 2 {
		t.Errorf("%d circuits for 10 addresses, want the 2 of the pool", got)
	}
	if got := len(s.mirror.circuits); got != 2 {
		t.Errorf("%d addresses are remembered, want the 2 that have a circuit", got)
	}
	if got := s.Stats().Tracked; got != 0 {
		t.Errorf("the Set remembers %d healthy addresses, want none", got)
	}
	for range 5 {
		s.attempt("10.0.0.9:1", breaker.Broken)
	}
	if !s.isOpen("10.0.0.9:1") {
		t.Error("an address beyond the pool did not trip")
	}
}

func TestNameRestsBeforeItServesAnother(t *testing.T) {
	s := show(t, WithPoolSize(1))
	name := s.trip(t, "a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, name) })
	s.attempt("a:1", breaker.Success)
	closed := s.clock.Now()

	for range 5 {
		s.attempt("b:1", breaker.Broken)
	}
	for s.clock.Now().Before(closed.Add(10 * time.Second)) {
		s.probeInVain("b:1")
		if got, ok := s.mirror.Circuit("b:1"); ok {
			t.Fatalf("%s was reused %v after it closed", got, s.clock.Now().Sub(closed))
		}
		s.clock.advance(500 * time.Millisecond)
	}
	s.clock.advance(time.Second)
	s.probeInVain("b:1")
	if got, _ := s.mirror.Circuit("b:1"); got != name {
		t.Fatalf("b:1 is shown as %q, want %q", got, name)
	}
	eventually(t, "hystrix shows the reused circuit open", func() bool { return hystrixOpen(t, name) })
}

func TestSetsDoNotShareCircuits(t *testing.T) {
	one := show(t, WithNamePrefix("same"), WithPoolSize(1))
	two := show(t, WithNamePrefix("same"), WithPoolSize(1))
	first, second := one.trip(t, "a:1"), two.trip(t, "a:1")
	if first == second || !strings.HasPrefix(first, "same-") || !strings.HasPrefix(second, "same-") {
		t.Errorf("two Sets call their circuits %q and %q", first, second)
	}
	eventually(t, "both are open", func() bool { return hystrixOpen(t, first) && hystrixOpen(t, second) })
	one.attempt("a:1", breaker.Success)
	if hystrixOpen(t, first) || !hystrixOpen(t, second) {
		t.Error("closing one closed the other")
	}
}

// Whoever looks at the wrong moment can leave hystrix open on a name at rest.
func TestNameThatHystrixShowsOpenRestsAgain(t *testing.T) {
	s := show(t, WithPoolSize(1))
	name := s.trip(t, "a:1")
	s.attempt("a:1", breaker.Success)
	hystrixgo.ConfigureCommand(name, hystrixgo.CommandConfig{
		RequestVolumeThreshold: anyVolume, ErrorPercentThreshold: anyPercent,
	})
	eventually(t, "hystrix shows the resting circuit open", func() bool { return hystrixOpen(t, name) })
	hystrixgo.ConfigureCommand(name, hystrixgo.CommandConfig{RequestVolumeThreshold: noVolume})

	s.clock.advance(cooling)
	for range 5 {
		s.attempt("b:1", breaker.Broken)
	}
	if got, ok := s.mirror.Circuit("b:1"); ok {
		t.Errorf("%s was lent out although hystrix showed it open", got)
	}
	if hystrixOpen(t, name) {
		t.Error("hystrix was not told to close it")
	}
	s.clock.advance(cooling)
	s.probeInVain("b:1")
	if got, ok := s.mirror.Circuit("b:1"); got != name {
		t.Errorf("after another rest: %q, %v", got, ok)
	}
}

// hystrix forgets failures after ten seconds, and judges only when asked.
func TestHystrixIsToldAgainWhenItForgot(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		t.Run(fmt.Sprintf("dashboard=%v", dashboard), func(t *testing.T) {
			s := show(t, WithPoolSize(1), WithDashboard(dashboard))
			c := s.lease(t, "a:1")
			// As if it had been told long ago, and had forgotten.
			c.openRequested, c.requestedAt = true, s.clock.Now().Add(-2*cooling)
			s.mirror.show(breaker.Transition{Address: "a:1", From: breaker.Open, To: breaker.HalfOpen})
			eventually(t, "hystrix shows the circuit open", func() bool { return s.shows("a:1") })
		})
	}
}

// Nobody looks at hystrix here but the Mirror itself.
func TestMirrorWaitsUntilHystrixShowsTheCircuitOpen(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		t.Run(fmt.Sprintf("dashboard=%v", dashboard), func(t *testing.T) {
			s := show(t, WithPoolSize(20), WithDashboard(dashboard))
			for i := range 20 {
				s.trip(t, fmt.Sprintf("10.0.0.%d:1", i))
			}
			for i := range 20 {
				address := fmt.Sprintf("10.0.0.%d:1", i)
				eventually(t, "hystrix shows the circuit open", func() bool { return s.shows(address) })
			}
			eventually(t, "the goroutine ends", func() bool { return !s.polls() })
		})
	}
}

// While hystrix digests nothing the goroutine waits, but not for ever.
func TestMirrorGivesUpOnAHystrixThatDigestsNothing(t *testing.T) {
	s := show(t, WithPoolSize(1))
	digested.mu.Lock()
	unlock := sync.OnceFunc(digested.mu.Unlock)
	defer unlock()
	name := s.trip(t, "a:1")
	if !s.polls() {
		t.Fatalf("nothing waits for %s", name)
	}
	s.clock.advance(cooling + time.Nanosecond)
	eventually(t, "the goroutine ends", func() bool { return !s.polls() })
	if s.shows("a:1") {
		t.Fatal("hystrix shows what it has not digested")
	}

	unlock()
	s.probeInVain("a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return s.shows("a:1") })
}

func TestCloseEndsTheGoroutineAndTheCircuits(t *testing.T) {
	s := show(t, WithPoolSize(2))
	shown := s.trip(t, "a:1")
	eventually(t, "hystrix shows the circuit open", func() bool { return hystrixOpen(t, shown) })
	digested.mu.Lock() // hystrix waits for its collectors
	pending := s.trip(t, "b:1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.mirror.Close() // waits for hystrix to forget its figures
		s.mirror.Close()
	}()
	digested.mu.Unlock()
	<-done

	for range 5 {
		s.attempt("c:1", breaker.Broken)
	}
	for _, name := range []string{shown, pending} {
		eventually(t, "hystrix digested the success that closes", func() bool { return digested.of(name).Successes == 1 })
		if hystrixOpen(t, name) {
			t.Errorf("hystrix shows %s open after Close", name)
		}
	}
	if name, ok := s.mirror.Circuit("c:1"); ok {
		t.Errorf("a closed Mirror shows c:1 as %s", name)
	}
	if !s.isOpen("c:1") {
		t.Error("the Set stopped deciding")
	}
}

// An address of the dashboard that nobody calls any more gives its circuit up
// to one that is called, by way of a rest.
func TestIdleAddressOfTheDashboardMakesRoom(t *testing.T) {
	s := show(t, WithPoolSize(1), WithDashboard(true))
	s.attempt("old:1", breaker.Success)
	name, _ := s.mirror.Circuit("old:1")
	hasRoom := func() bool {
		s.attempt("new:1", breaker.Success)
		got, ok := s.mirror.Circuit("new:1")
		if ok && got != name {
			t.Fatalf("new:1 is shown as %q, want %q", got, name)
		}
		return ok
	}
	s.clock.advance(idleAfter - time.Second)
	if hasRoom() {
		t.Fatal("an address lost its circuit before it had been idle for long")
	}
	s.clock.advance(2 * time.Second)
	if hasRoom() {
		t.Fatal("a circuit served another address without a rest")
	}
	s.clock.advance(cooling)
	if !hasRoom() {
		t.Fatal("no circuit after a rest")
	}
}

func TestEventsBeyondTheQueueOfHystrixAreCounted(t *testing.T) {
	const sent, queue = 5000, 2000
	s := show(t, WithPoolSize(1), WithDashboard(true))
	digested.mu.Lock() // hystrix waits for its collectors
	for range sent {
		s.attempt("a:1", breaker.Success)
	}
	dropped := s.mirror.Stats().Dropped
	digested.mu.Unlock()
	name, _ := s.mirror.Circuit("a:1")
	eventually(t, "hystrix digested what it took", func() bool {
		return digested.of(name).Attempts == float64(sent-dropped)
	})
	if dropped < sent-queue-1 {
		t.Errorf("%d of %d events dropped, by a queue of %d", dropped, sent, queue)
	}
}

func TestNewMirrorRefuses(t *testing.T) {
	tests := []struct {
		opts []Option
		want string
	}{
		{[]Option{WithPoolSize(0)}, "hystrix: WithPoolSize(0): must be at least 1"},
		{[]Option{WithPoolSize(-1)}, "hystrix: WithPoolSize(-1): must be at least 1"},
		{[]Option{WithDashboard(true), WithPoolSize(0)}, "hystrix: WithPoolSize(0): must be at least 1"},
		{[]Option{WithNamePrefix("")}, `hystrix: WithNamePrefix(""): must not be empty`},
		{[]Option{nil}, "hystrix: nil Option: leave it out instead"},
	}
	for _, tt := range tests {
		m, err := NewMirror(tt.opts...)
		if err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %q", err, tt.want)
		}
		if m != nil {
			t.Errorf("NewMirror returned a Mirror beside the error %v", err)
		}
	}
}
