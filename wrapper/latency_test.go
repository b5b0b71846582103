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
			l.observe(from, took, false)
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
		l.observe(start, 400*time.Millisecond, false)
		within(t, l.usual(), 400*time.Millisecond, 400*time.Millisecond)
	})
	t.Run("of many it passes over the rare ones", func(t *testing.T) {
		var l latency
		for i := range 1000 {
			took := 10 * time.Millisecond
			if i%50 == 0 {
				took = time.Second
			}
			l.observe(start, took, false)
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
			l.observe(start, took, false)
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
		l.observe(at.Add(time.Hour), time.Millisecond, false)
		within(t, l.usual(), time.Millisecond, time.Millisecond)
	})
	t.Run("from nothing to hours", func(t *testing.T) {
		var l latency
		feed(&l, start, 100, 0, 0)
		feed(&l, start, 100, 0, 24*time.Hour)
		within(t, l.usual(), 10*time.Minute, 24*time.Hour)
	})
}

// TestHedgeDelay: when an endpoint's attempts are hedged, by what the calls have
// waited for.
func TestHedgeDelay(t *testing.T) {
	const ms = time.Millisecond
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := hedgeSettings{quantile: 0.95, min: 2 * ms, max: 50 * ms}
	for _, tt := range []struct {
		name      string
		answers   []time.Duration // in turn
		late      []time.Duration
		outrun    []time.Duration
		n         int
		low, high time.Duration
	}{
		{"cold", []time.Duration{5 * ms}, nil, nil, warm - 1, 50 * ms, 50 * ms},
		{"warm", []time.Duration{5 * ms}, nil, nil, warm, 5 * ms, 6 * ms},
		{"at least the shortest", []time.Duration{ms}, nil, nil, 100, 2 * ms, 2 * ms},
		{"at the most the longest", []time.Duration{80 * ms}, nil, nil, 100, 50 * ms, 50 * ms},
		{"late answers were not waited for", []time.Duration{5 * ms}, []time.Duration{80 * ms}, nil, 100, 5 * ms, 6 * ms},
		{"what was outrun counts for what it had", []time.Duration{5 * ms}, nil, []time.Duration{12 * ms}, 100, 12 * ms, 14 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l latency
			h.delay(&l) // from here on they are counted
			for range tt.n {
				for _, took := range tt.answers {
					l.observe(at, took, false)
				}
				for _, took := range tt.late {
					l.observe(at, took, true)
				}
				for _, had := range tt.outrun {
					l.outrun(at, had)
				}
			}
			if got := h.delay(&l); got < tt.low || got > tt.high {
				t.Errorf("hedged after %v, want %v to %v", got, tt.low, tt.high)
			}
		})
	}
}

// TestWhatWasOutrunIsNotUsual: what an attempt had until it was outrun says nothing
// of what the endpoint needs, by which its instance is judged.
func TestWhatWasOutrunIsNotUsual(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var l latency
	l.quantile(0.95)
	for range 200 {
		l.observe(at, time.Millisecond, false)
		l.outrun(at, time.Second)
	}
	if got := l.usual(); got > 2*time.Millisecond {
		t.Errorf("usual is %v", got)
	}
}
