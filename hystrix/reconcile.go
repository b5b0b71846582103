package hystrix

import (
	"slices"
	"time"
)

// pollEvery is how often hystrix is asked whether it has digested a burst. It
// judges its figures only when asked.
const pollEvery = 5 * time.Millisecond

// await has the poller follow a circuit that was told to open until hystrix
// shows it open. The Mirror is locked.
func (m *Mirror) await(c *circuit) {
	if !slices.Contains(m.pending, c) {
		m.pending = append(m.pending, c)
	}
	if !m.polling {
		m.polling = true
		m.poller.Go(m.poll)
	}
}

// poll runs until nothing is pending, or the Mirror is closed.
func (m *Mirror) poll() {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-m.stop:
			return
		}
		if !m.reconcile() {
			return
		}
	}
}

// reconcile looks at what is pending, and tells whether anything still is. What
// hystrix has forgotten meanwhile is left to the next transition.
func (m *Mirror) reconcile() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.pending = slices.DeleteFunc(m.pending, func(c *circuit) bool {
		c.look()
		return c.shown || !c.openRequested || c.forgotten(now)
	})
	m.polling = len(m.pending) > 0
	return m.polling
}
