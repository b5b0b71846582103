package breaker

import (
	"testing"
	"time"
)

// TestUnsafeTrafficSpoilsFewCalls: an instance freezes for an hour, and all calls
// are of the kind that cannot be made elsewhere.
func TestUnsafeTrafficSpoilsFewCalls(t *testing.T) {
	const second = time.Second
	c := newClock()
	s := newSet(t, c)
	trip5(s, c, "frozen:1")
	tripped := c.Now()
	spoiled := 0
	for c.Now().Sub(tripped) < time.Hour {
		if s.Probe("frozen:1", false) {
			spoiled++
			attempt(s, c, "frozen:1", Timeout)
		}
		c.advance(second / 10)
	}
	// After 3, 6, 12 and 24 s, and then once in 30 s.
	if most := 4 + int(time.Hour/(maxForcedWindows*second)); spoiled > most {
		t.Errorf("%d calls were spoiled in an hour, want at most %d", spoiled, most)
	}

	thawed := c.Now()
	for !s.Probe("frozen:1", false) {
		c.advance(second / 10)
	}
	attempt(s, c, "frozen:1", Success)
	if took := c.Now().Sub(thawed); took > maxForcedWindows*second+second/10 {
		t.Errorf("it took %v to find the instance well, want at most 30 s", took)
	}
	if isOpen(s, "frozen:1") {
		t.Error("the success did not close the circuit")
	}

	// The next trip begins with short waits again.
	trip5(s, c, "frozen:1")
	c.advance(forcedWindows * second)
	if !s.Probe("frozen:1", false) {
		t.Error("no forced probe after 3 windows of a new trip")
	}
}

// TestForcedProbesAreNotNeededBesideOthers: while some calls can be made
// elsewhere, the others are left alone.
func TestForcedProbesAreNotNeededBesideOthers(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	trip5(s, c, "frozen:1")
	unsafe, safe := 0, 0
	for range 600 {
		if s.Probe("frozen:1", false) {
			unsafe++
		}
		if s.Probe("frozen:1", true) {
			safe++
			attempt(s, c, "frozen:1", Timeout)
		}
		c.advance(100 * time.Millisecond)
	}
	if unsafe != 0 {
		t.Errorf("%d calls that cannot be made elsewhere were spoiled, want none", unsafe)
	}
	if safe < 55 || safe > 60 {
		t.Errorf("%d probes in a minute, want one per second", safe)
	}
}
