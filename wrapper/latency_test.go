package wrapper

import (
	"testing"
	"time"
)

func TestUsualLatency(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	within := func(t *testing.T, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("usual is %v, want %v to %v", got, low, high)
		}
	}
	feed := func(l *latency, from time.Time, n int, every, took time.Duration) time.Time {
		for range n {
			l.observe(from, took)
			from = from.Add(every)
		}
		return from
	}
	t.Run("nothing is known", func(t *testing.T) {
		within(t, new(latency).usual(), 0, 0)
	})
	t.Run("of few answers it is the longest", func(t *testing.T) {
		var l latency
		feed(&l, start, 5, time.Millisecond, 3*time.Millisecond)
		l.observe(start, 400*time.Millisecond)
		within(t, l.usual(), 400*time.Millisecond, 400*time.Millisecond)
	})
	t.Run("of many it passes over the rare ones", func(t *testing.T) {
		var l latency
		for i := range 1000 {
			took := 10 * time.Millisecond
			if i%50 == 0 {
				took = time.Second
			}
			l.observe(start, took)
		}
		within(t, l.usual(), 10*time.Millisecond, 12*time.Millisecond)
	})
	t.Run("and not over what one in ten takes", func(t *testing.T) {
		var l latency
		for i := range 1000 {
			took := 10 * time.Millisecond
			if i%10 == 0 {
				took = 300 * time.Millisecond
			}
			l.observe(start, took)
		}
		within(t, l.usual(), 300*time.Millisecond, 300*time.Millisecond)
	})
	t.Run("it follows an endpoint that became faster", func(t *testing.T) {
		var l latency
		at := feed(&l, start, 500, 10*time.Millisecond, time.Second)
		at = feed(&l, at, 600, 10*time.Millisecond, time.Millisecond)
		at = feed(&l, at, 600, 10*time.Millisecond, time.Millisecond)
		feed(&l, at, 600, 10*time.Millisecond, time.Millisecond)
		within(t, l.usual(), time.Millisecond, 2*time.Millisecond)
	})
	t.Run("and forgets what is long ago", func(t *testing.T) {
		var l latency
		at := feed(&l, start, 500, 10*time.Millisecond, time.Second)
		l.observe(at.Add(time.Hour), time.Millisecond)
		within(t, l.usual(), time.Millisecond, time.Millisecond)
	})
	t.Run("from nothing to hours", func(t *testing.T) {
		var l latency
		feed(&l, start, 100, 0, 0)
		feed(&l, start, 100, 0, 24*time.Hour)
		within(t, l.usual(), 10*time.Minute, 24*time.Hour)
	})
}
