package wrapper

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSharesEndInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shares
		c := &call{wake: make(chan struct{}, 1)}
		start := time.Now()
		const ms = time.Millisecond
		durations := []time.Duration{300 * ms, 100 * ms, 200 * ms, 100 * ms, 500 * ms}
		attempts := make([]*attempt, len(durations))
		for i, d := range durations {
			attempts[i] = &attempt{call: c}
			s.add(attempts[i], start.Add(d))
		}
		s.remove(attempts[2])
		s.remove(attempts[2]) // it may end and be closed
		for _, step := range []time.Duration{50 * ms, 150 * ms, 250 * ms, 350 * ms, 600 * ms} {
			time.Sleep(time.Until(start.Add(step)))
			synctest.Wait()
			for i, a := range attempts {
				want := i != 2 && durations[i] <= step
				if got := a.expired.Load(); got != want {
					t.Errorf("after %v the share of %v has ended: %t, want %t", step, durations[i], got, want)
				}
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.running) != 0 || !s.next.IsZero() {
			t.Errorf("%d are left, and the timer is set to %v", len(s.running), s.next)
		}
	})
}

// TestShareThatIsNotThere: an attempt without a share is removed like any other.
func TestShareThatIsNotThere(t *testing.T) {
	var s shares
	a, b := new(attempt), new(attempt)
	s.add(a, time.Now().Add(time.Hour))
	s.remove(b)
	if len(s.running) != 1 || s.running[0] != a {
		t.Errorf("left is %v, want the one that was added", s.running)
	}
	s.remove(a)
}
