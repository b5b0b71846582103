package concurrency

import (
	"sync"
	"time"
)

const (
	// shrink is what is left of the limit when a request was late.
	shrink = 0.8
	// lateShare is the share of its time after which a request is late.
	lateShare = 0.5
)

// Limiter bounds how many requests run at once. Make one with [NewFixed] or
// [NewAdaptive]. It is safe for concurrent use.
type Limiter struct {
	mu          sync.Mutex
	limit       float64
	least, most float64
	running     int
	shrunk      time.Time // when the limit was last taken from
	counts      counts
}

// counts are what a limiter has seen since it was made.
type counts struct{ admitted, refused, late uint64 }

// Enter asks for a place. Where there is one it is taken, until [Limiter.Leave];
// else the request is to be refused.
func (l *Limiter) Enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running >= int(l.limit) {
		l.counts.refused++
		return false
	}
	l.running++
	l.counts.admitted++
	return true
}

// Leave gives the place back: once for each Enter that was true. The request took so
// long, of the time that it had when it entered; 0: it had as long as it liked.
func (l *Limiter) Leave(took, had time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := float64(l.running) >= l.limit/2
	l.running--
	switch late := had > 0 && float64(took) > lateShare*float64(had); {
	case late:
		l.counts.late++
		l.decrease(took)
	case busy: // else nothing shows that more would be done as quickly
		l.limit = min(l.limit+1/l.limit, l.most)
	}
}

// decrease takes from the limit, once for all requests that ran at the same time: what
// entered before the limit was last taken from says nothing of today's.
func (l *Limiter) decrease(took time.Duration) {
	now := time.Now()
	if now.Sub(l.shrunk) < took {
		return
	}
	l.shrunk = now
	l.limit = max(shrink*l.limit, l.least)
}

// Snapshot is what a limiter does at one moment, for operators.
type Snapshot struct {
	// Limit is how many requests may run at once, Running how many do.
	Limit, Running int
	// Admitted, Refused and Late count the requests since the limiter was made. One that
	// was late took more than half of the time that it had.
	Admitted, Refused, Late uint64
}

// Snapshot returns what the limiter does now.
func (l *Limiter) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Snapshot{
		Limit: int(l.limit), Running: l.running,
		Admitted: l.counts.admitted, Refused: l.counts.refused, Late: l.counts.late,
	}
}
