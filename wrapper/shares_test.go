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
		durations := []time.Duration{300, 100, 200, 100, 500}
		attempts := make([]*attempt, len(durations))
		for i, d := range durations {
			attempts[i] = &attempt{call: c}
			s.add(attempts[i], start.Add(d*time.Millisecond))
		}
		s.remove(attempts[2])
		s.remove(attempts[2]) // it may end and be closed
		for _, step := range []time.Duration{50, 150, 250, 350, 600} {
			time.Sleep(time.Until(start.Add(step * time.Millisecond)))
			synctest.Wait()
			for i, a := range attempts {
				want := i != 2 && durations[i] <= step
				if got := a.expired.Load(); got != want {
					t.Errorf("after %dms the share of %dms has ended: %t, want %t", step, durations[i], got, want)
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
