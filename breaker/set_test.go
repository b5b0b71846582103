package breaker

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var letters = map[rune]Event{
	'S': Success, 'R': Refused, 'U': Unreachable, 'B': Broken, 'T': Timeout, 'O': Outrun, 'F': Failure, 'I': Ignored,
}

func TestConsecutiveFailures(t *testing.T) {
	long := strings.Repeat("S", 5000)
	tests := []struct {
		name    string
		opts    []Option
		events  string
		open    bool
		refused bool
	}{
		{name: "nothing", events: ""},
		{name: "one below the threshold", events: "BTFB"},
		{name: "the threshold", events: "BTFBT", open: true},
		{name: "one below, after thousands of successes", events: long + "BBBB"},
		{name: "the threshold, after thousands of successes", events: long + "BBBBB", open: true},
		{name: "a success starts over", events: "BBBBSBBBB"},
		{name: "ignored events neither count nor start over", events: "BIBIBIBI"},
		{name: "ignored events between", events: "BIBIBIBIB", open: true},
		{name: "ignored alone", events: "IIIIIIIIIIII"},
		{name: "one refused dial", events: "R"},
		{name: "two refused dials", events: "RR", open: true, refused: true},
		{name: "a refused dial counts triple", events: "BRB", open: true},
		{name: "a refused dial and one more", events: "RB"},
		{name: "a refused dial last", events: "BBR", open: true},
		{name: "refused dials, a success between", events: "RSR"},
		{name: "refused dials alone would have done", events: "TRR", open: true, refused: true},
		{name: "a dial that timed out weighs 1", events: "UUUU"},
		{name: "dials that timed out are not refused", events: "UUUUU", open: true},
		{name: "they break a streak of refusals", events: "RUR", open: true},
		{name: "refused dials after one that timed out", events: "URR", open: true, refused: true},
		{name: "outrun attempts within moments", events: "OOOOOOOOOOOO"},
		{name: "outrun attempts and one below the threshold", events: "OOOOBBBB"},
		{name: "outrun attempts do not hide other failures", events: "OOOOBBBBB", open: true},
		{name: "an outrun attempt breaks a streak of refusals", events: "ROR", open: true},
		{name: "threshold 1, outrun", opts: []Option{WithThreshold(1)}, events: "O"},
		{name: "threshold 1", opts: []Option{WithThreshold(1)}, events: "T", open: true},
		{name: "threshold 1, refused", opts: []Option{WithThreshold(1)}, events: "R", open: true, refused: true},
		{name: "threshold 8, seven", opts: []Option{WithThreshold(8)}, events: "BBBBBBB"},
		{name: "threshold 8, eight", opts: []Option{WithThreshold(8)}, events: "BBBBBBBB", open: true},
		{name: "weight 1, four", opts: []Option{WithRefusedWeight(1)}, events: "RRRR"},
		{name: "weight 1, five", opts: []Option{WithRefusedWeight(1)}, events: "RRRRR", open: true, refused: true},
		{name: "heavy weight", opts: []Option{WithRefusedWeight(50)}, events: "R", open: true, refused: true},
		{name: "no such event", opts: []Option{WithThreshold(1)}, events: "?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s := newSet(t, c, tt.opts...)
			for i, r := range tt.events {
				if tt.open && i == len(tt.events)-1 && s.AnyOpen() {
					t.Errorf("open before the last event")
				}
				ev, ok := letters[r]
				if !ok {
					ev = Event(200)
				}
				attempt(s, c, "a:1", ev)
			}
			open, refused := s.Open("a:1")
			if open != tt.open || refused != tt.refused {
				t.Errorf("Open = %v, %v, want %v, %v", open, refused, tt.open, tt.refused)
			}
			if s.AnyOpen() != tt.open {
				t.Errorf("AnyOpen = %v, want %v", s.AnyOpen(), tt.open)
			}
			if open, _ := s.Open("other:1"); open {
				t.Errorf("an unknown address is open")
			}
		})
	}
}

func TestRefusedIsTheLatestEvidence(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	expect := func(events string, want bool) {
		t.Helper()
		for _, r := range events {
			attempt(s, c, "a:1", letters[r])
		}
		if open, refused := s.Open("a:1"); !open || refused != want {
			t.Errorf("after %s: Open = %v, %v, want true, %v", events, open, refused, want)
		}
	}
	expect("BBBBB", false)
	expect("R", false)
	expect("R", true) // killed after it broke: now nothing listens
	expect("T", false)
}

func TestOnlyASuccessBegunAfterTheTripCloses(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	before := c.Now()
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	tripped := c.Now()

	s.Report("a:1", Success, before, time.Second)
	s.Report("a:1", Success, tripped, time.Second)
	if !isOpen(s, "a:1") {
		t.Fatal("a success begun before the trip, or at it, closed the circuit")
	}
	s.Report("a:1", Success, tripped.Add(1), time.Second)
	if isOpen(s, "a:1") || s.AnyOpen() {
		t.Fatal("a success begun after the trip did not close the circuit")
	}
}

func TestFailuresBegunBeforeRecoveryDoNotCount(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	for range 5 {
		attempt(s, c, "a:1", Timeout)
	}
	frozen := c.Now()
	attempt(s, c, "a:1", Success)
	for range 20 {
		s.Report("a:1", Timeout, frozen, time.Second)
	}
	if isOpen(s, "a:1") {
		t.Fatal("attempts from before the recovery tripped the circuit again")
	}
	for range 5 {
		attempt(s, c, "a:1", Timeout)
	}
	if !isOpen(s, "a:1") {
		t.Fatal("five new failures did not")
	}
}

func TestProbe(t *testing.T) {
	type step struct {
		after     time.Duration
		retriable bool
		want      bool
	}
	const w = time.Second
	tests := []struct {
		name  string
		trip  string
		steps []step
	}{
		{"once per window", "BBBBB", []step{
			{0, true, false}, {w - 1, true, false}, {1, true, true}, {0, true, false}, {w - 1, true, false}, {1, true, true},
		}},
		{"a lost probe blocks for one window only", "BBBBB", []step{
			{w, true, true}, {w, true, true}, {w, true, true},
		}},
		{"refused dials: any call", "RR", []step{
			{w - 1, false, false}, {1, false, true}, {0, false, false}, {w, false, true},
		}},
		{"otherwise not a call that cannot be retried", "BBBBB", []step{
			{w, false, false}, {w, false, false}, {w - 1, false, false}, {1, false, true},
			{0, true, false}, {w, false, false}, {0, true, true},
		}},
		{"three windows without a probe", "BBBBB", []step{
			{w, true, true}, {2 * w, false, false}, {w, false, true},
		}},
		{"dials that timed out: not a call that cannot be retried", "UUUUU", []step{
			{w, false, false}, {0, true, true},
		}},
		{"forced probes become rare", "BBBBB", []step{
			{3*w - 1, false, false}, {1, false, true},
			{6*w - 1, false, false}, {1, false, true},
			{12*w - 1, false, false}, {1, false, true},
			{24*w - 1, false, false}, {1, false, true},
			{30*w - 1, false, false}, {1, false, true},
			{30*w - 1, false, false}, {1, false, true},
			{0, true, false}, {w, true, true}, // to which other calls are not held
			{30*w - 1, false, false}, {1, false, true},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s := newSet(t, c, WithSleepWindow(w))
			for _, r := range tt.trip {
				attempt(s, c, "a:1", letters[r])
			}
			for i, st := range tt.steps {
				c.advance(st.after)
				if got := s.Probe("a:1", st.retriable); got != st.want {
					t.Fatalf("step %d: Probe(%v) = %v, want %v", i, st.retriable, got, st.want)
				}
				if !isOpen(s, "a:1") {
					t.Fatalf("step %d: a probe closed the circuit", i)
				}
			}
		})
	}
}

func TestProbeOfAClosedCircuitIsGranted(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	if !s.Probe("a:1", false) {
		t.Error("denied while nothing is open")
	}
	for range 5 {
		attempt(s, c, "b:1", Broken)
	}
	if !s.Probe("a:1", false) {
		t.Error("denied while another address is open")
	}
}

func TestFailedProbeWaitsForTheNextWindow(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	c.advance(time.Second)
	if !s.Probe("a:1", true) {
		t.Fatal("no probe after the first window")
	}
	attempt(s, c, "a:1", Broken)
	if !isOpen(s, "a:1") || s.Probe("a:1", true) {
		t.Fatal("a failed probe closed the circuit, or granted another")
	}
	c.advance(time.Second)
	if !s.Probe("a:1", true) {
		t.Fatal("no probe after the second window")
	}
	attempt(s, c, "a:1", Success)
	if isOpen(s, "a:1") {
		t.Fatal("a successful probe did not close the circuit")
	}
}

func TestOneProbePerWindowUnderConcurrency(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	for window := range 50 {
		c.advance(time.Second)
		var granted atomic.Int32
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if open, _ := s.Open("a:1"); open && s.Probe("a:1", true) {
					granted.Add(1)
				}
			})
		}
		wg.Wait()
		if n := granted.Load(); n != 1 {
			t.Fatalf("window %d granted %d probes", window, n)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s, err := New(WithSleepWindow(time.Millisecond), WithHook(func(Transition) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				address := fmt.Sprintf("10.0.0.%d:80", (worker+i)%12)
				ev := Event((worker*7 + i/3) % len(letters))
				if open, _ := s.Open(address); !open || s.Probe(address, i%2 == 0) {
					s.Report(address, ev, time.Now(), time.Microsecond)
				}
				for open := range s.OpenAddresses() {
					s.Probe(open, true)
				}
				s.Ejected()
			}
		})
	}
	wg.Wait()
	stats := s.Stats()
	if stats.Tracked > 12 || stats.Open > stats.Tracked || (stats.Open > 0) != s.AnyOpen() {
		t.Errorf("inconsistent: %+v, AnyOpen %v", stats, s.AnyOpen())
	}
	open := 0
	for i := range 12 {
		if isOpen(s, fmt.Sprintf("10.0.0.%d:80", i)) {
			open++
		}
	}
	if listed := len(s.Ejected()); listed != open {
		t.Errorf("%d addresses are open, Ejected lists %d", open, listed)
	}
	if open != stats.Open {
		t.Errorf("%d addresses are open, Stats says %d", open, stats.Open)
	}
}

func TestHook(t *testing.T) {
	c := newClock()
	var got []string
	s := newSet(t, c, WithHook(func(tr Transition) {
		got = append(got, fmt.Sprintf("%s %v-%v %v", tr.Address, tr.From, tr.To, tr.Event))
	}))
	for range 6 {
		attempt(s, c, "a:1", Broken)
	}
	c.advance(time.Second)
	s.Probe("a:1", true)
	attempt(s, c, "a:1", Timeout)
	c.advance(time.Second)
	s.Probe("a:1", true)
	c.advance(time.Second)
	s.Probe("a:1", true)
	attempt(s, c, "a:1", Success)
	for range 2 {
		attempt(s, c, "b:1", Refused)
	}
	s.Close()
	want := []string{
		"a:1 closed-open broken",
		"a:1 open-half-open ignored",
		"a:1 half-open-open timeout",
		"a:1 open-half-open ignored",
		"a:1 half-open-closed success",
		"b:1 closed-open refused",
		"b:1 open-closed ignored",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("transitions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestHookMayUseTheSet(t *testing.T) {
	c := newClock()
	var s *Set
	seen := false
	s = newSet(t, c, WithHook(func(tr Transition) {
		seen = isOpen(s, tr.Address)
		s.Report(tr.Address, Ignored, c.Now(), 0)
	}))
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	if !seen {
		t.Error("the hook did not see the circuit open")
	}
}

func TestClose(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	s.Close()
	s.Close()
	for range 5 {
		attempt(s, c, "a:1", Broken)
	}
	if s.AnyOpen() || isOpen(s, "a:1") || !s.Probe("a:1", false) || s.Stats().Tracked != 0 {
		t.Errorf("a closed Set still keeps circuits: %+v", s.Stats())
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		opts []Option
		want string
	}{
		{[]Option{WithThreshold(0)}, "breaker: WithThreshold(0): must be at least 1"},
		{[]Option{WithThreshold(-3)}, "breaker: WithThreshold(-3): must be at least 1"},
		{[]Option{WithRefusedWeight(0)}, "breaker: WithRefusedWeight(0): must be at least 1"},
		{[]Option{WithSleepWindow(0)}, "breaker: WithSleepWindow(0s): must be above 0 and at most 1h"},
		{[]Option{WithSleepWindow(-time.Second)}, "breaker: WithSleepWindow(-1s): must be above 0 and at most 1h"},
		{
			[]Option{WithSleepWindow(time.Hour + 1)},
			"breaker: WithSleepWindow(1h0m0.000000001s): must be above 0 and at most 1h",
		},
		{[]Option{WithClock(nil)}, "breaker: WithClock(nil): must be a time source, such as time.Now"},
		{[]Option{WithHook(nil)}, "breaker: WithHook(nil): must be a function"},
		{[]Option{WithEventHook(nil)}, "breaker: WithEventHook(nil): must be a function"},
		{[]Option{nil}, "breaker: nil Option: leave it out instead"},
	}
	for _, tt := range tests {
		s, err := New(tt.opts...)
		if err == nil || err.Error() != tt.want || s != nil {
			t.Errorf("New = %v, %v, want nil, %q", s, err, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"ignored": Ignored, "success": Success, "refused": Refused, "broken": Broken, "timeout": Timeout,
		"failure": Failure, "unreachable": Unreachable, "outrun": Outrun, "event(77)": Event(77),
		"closed": Closed, "open": Open, "half-open": HalfOpen, "state(9)": State(9),
	} {
		if got.String() != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
