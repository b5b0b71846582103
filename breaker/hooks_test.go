package breaker

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestHooksAddUp(t *testing.T) {
	c := newClock()
	var got []string
	note := func(name string) Option {
		return WithHook(func(tr Transition) { got = append(got, fmt.Sprintf("%s %v", name, tr.To)) })
	}
	s := newSet(t, c, note("first"), note("second"))
	trip5(s, c, "a:1")
	s.AddHook(nil)
	s.AddHook(func(tr Transition) { got = append(got, fmt.Sprintf("late %v", tr.To)) })
	attempt(s, c, "a:1", Success)
	want := []string{"first open", "second open", "first closed", "second closed", "late closed"}
	if !slices.Equal(got, want) {
		t.Errorf("the hooks saw %q, want %q", got, want)
	}
}

// What a hook causes is seen after what it was called for, by all hooks.
func TestHookSeesWhatItCausedAfterwards(t *testing.T) {
	c := newClock()
	var got []string
	var s *Set
	s = newSet(t, c,
		WithHook(func(tr Transition) {
			if tr.Address == "a:1" {
				trip5(s, c, "b:1")
			}
		}),
		WithHook(func(tr Transition) { got = append(got, tr.Address) }),
	)
	trip5(s, c, "a:1")
	if want := []string{"a:1", "b:1"}; !slices.Equal(got, want) {
		t.Errorf("the second hook saw %q, want %q", got, want)
	}
}

// TestHooksSeeTheOrderOfChanges: each transition continues where the last one of
// its address ended, whoever caused it, and no two are seen at once.
func TestHooksSeeTheOrderOfChanges(t *testing.T) {
	const addresses = 3
	var inside atomic.Int32
	states := make(map[string]State)
	seen := 0
	s, err := New(WithThreshold(1), WithSleepWindow(time.Nanosecond), WithHook(func(tr Transition) {
		if n := inside.Add(1); n != 1 {
			t.Errorf("%d goroutines call the hook at once", n)
		}
		if states[tr.Address] != tr.From {
			t.Errorf("%s was %v, and changes from %v to %v", tr.Address, states[tr.Address], tr.From, tr.To)
		}
		states[tr.Address] = tr.To
		seen++
		inside.Add(-1)
	}))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				address := fmt.Sprintf("10.0.0.%d:1", (worker+i)%addresses)
				s.Report(address, []Event{Broken, Success}[i%2], time.Now(), 0)
				s.Probe(address, true)
			}
		})
	}
	wg.Wait()
	s.Close()
	if seen == 0 {
		t.Fatal("the hook saw nothing")
	}
	for address, state := range states {
		if state != Closed {
			t.Errorf("the hook left %s %v, want closed", address, state)
		}
	}
}

// A panic of a hook reaches a caller, and later transitions are still seen.
func TestHookThatPanics(t *testing.T) {
	c := newClock()
	var got []string
	s := newSet(t, c, WithHook(func(tr Transition) {
		got = append(got, tr.Address)
		if len(got) == 1 {
			panic("first")
		}
	}))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not reach the caller")
			}
		}()
		trip5(s, c, "a:1")
	}()
	if !isOpen(s, "a:1") {
		t.Error("the panic undid the decision")
	}
	trip5(s, c, "b:1")
	if want := []string{"a:1", "b:1"}; !slices.Equal(got, want) {
		t.Errorf("the hook saw %q, want %q", got, want)
	}
}

func TestEventHooksSeeEveryEvent(t *testing.T) {
	type event struct {
		address string
		ev      Event
		start   time.Time
		took    time.Duration
	}
	c := newClock()
	var first, second []event
	note := func(to *[]event) Option {
		return WithEventHook(func(address string, ev Event, start time.Time, took time.Duration) {
			*to = append(*to, event{address, ev, start, took})
		})
	}
	s := newSet(t, c, note(&first), note(&second))
	var want []event
	for ev := Ignored; ev <= Failure+1; ev++ {
		for range 6 {
			e := event{fmt.Sprintf("%v:1", ev), ev, c.Now(), time.Duration(len(want))}
			want = append(want, e)
			s.Report(e.address, e.ev, e.start, e.took)
			c.advance(time.Millisecond)
		}
	}
	s.Close()
	attempt(s, c, "late:1", Broken)
	if !slices.Equal(first, want) {
		t.Errorf("the first hook saw\n%v, want\n%v", first, want)
	}
	if !slices.Equal(second, want) {
		t.Errorf("the second hook saw\n%v, want\n%v", second, want)
	}
}
