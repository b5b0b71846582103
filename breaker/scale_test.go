package breaker

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

const distinctAddresses = 100_000

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// live drives one address through a life: most vanish tripped, some recover,
// some never trip.
func live(s *Set, c *clock, i int) {
	address := fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)
	for range 3 {
		attempt(s, c, address, Success)
	}
	switch i % 8 {
	case 0: // a hiccup, then gone
		attempt(s, c, address, Broken)
	case 1: // recovers
		trip5(s, c, address)
		s.Probe(address, true)
		attempt(s, c, address, Success)
	case 2: // refused, then gone
		attempt(s, c, address, Refused)
		attempt(s, c, address, Refused)
	default:
		trip5(s, c, address)
	}
}

func trip5(s *Set, c *clock, address string) {
	for range 5 {
		attempt(s, c, address, Broken)
	}
}

func TestAddressesThatComeAndGoLeakNothing(t *testing.T) {
	tests := []struct {
		name string
		step time.Duration // between two addresses
	}{
		{"over hours", 100 * time.Millisecond},
		{"at once", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s := newSet(t, c)
			goroutines := runtime.NumGoroutine()
			var early int64
			for i := range distinctAddresses {
				live(s, c, i)
				c.advance(tt.step)
				if i == distinctAddresses/3 {
					early = heap()
				}
			}
			grown := heap() - early
			stats := s.Stats()
			t.Logf("%+v, heap at a third %d KB, grown since by %d KB", stats, early>>10, grown>>10)

			if got := runtime.NumGoroutine(); got > goroutines {
				t.Errorf("%d goroutines, %d before", got, goroutines)
			}
			if limit := shardCount * shardLimit; stats.Tracked > limit {
				t.Errorf("%d addresses are remembered, of at most %d", stats.Tracked, limit)
			}
			if grown > 1<<20 {
				t.Errorf("the heap grew by %d KB over the last two thirds", grown>>10)
			}
			runtime.KeepAlive(s)
		})
	}
}

func TestIdleAddressesAreForgotten(t *testing.T) {
	c := newClock()
	var forgotten int
	s := newSet(t, c, WithHook(func(tr Transition) {
		if tr.To == Closed && tr.Event == Ignored {
			forgotten++
		}
	}))
	for i := range 100 {
		trip5(s, c, fmt.Sprintf("10.0.0.%d:1", i))
	}
	if got := s.Stats(); got.Open != 100 || got.Tracked != 100 {
		t.Fatalf("before: %+v", got)
	}
	// A guess at the time that is far off forgets nothing.
	s.Report("healthy:1", Success, c.Now().Add(1000*time.Hour), 0)
	if got := s.Stats(); got.Open != 100 {
		t.Fatalf("after a report from the future: %+v", got)
	}
	// Nothing but the successes of a healthy address, which is not remembered.
	for range 2 * 2 * shardCount {
		c.advance(forgetAfter / shardCount)
		attempt(s, c, "healthy:1", Success)
	}
	if got := s.Stats(); got.Open != 0 || got.Tracked != 0 || s.AnyOpen() {
		t.Errorf("after minutes without a call: %+v", got)
	}
	if forgotten != 100 {
		t.Errorf("the hook saw %d of 100 circuits forgotten", forgotten)
	}
}

func TestAddressesThatAreStillCalledAreNotForgotten(t *testing.T) {
	c := newClock()
	s := newSet(t, c, WithSleepWindow(time.Hour))
	trip5(s, c, "a:1")
	for range 100 {
		c.advance(time.Hour)
		if !isOpen(s, "a:1") {
			t.Fatal("forgotten")
		}
		if s.Probe("a:1", true) {
			attempt(s, c, "a:1", Broken)
		}
		attempt(s, c, "healthy:1", Success)
	}
}
