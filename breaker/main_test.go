package breaker

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time source that stands still until it is told to move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newSet(t *testing.T, c *clock, opts ...Option) *Set {
	t.Helper()
	s, err := New(append([]Option{WithClock(c.Now)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// attempt reports one event of an attempt that took a millisecond.
func attempt(s *Set, c *clock, address string, ev Event) {
	start := c.Now()
	c.advance(time.Millisecond)
	s.Report(address, ev, start.Add(time.Nanosecond), time.Millisecond)
}

func isOpen(s *Set, address string) bool {
	open, _ := s.Open(address)
	return open
}
