package breaker

import (
	"sync/atomic"
	"time"
)

// forgetAfter is how long an address may be idle before it is forgotten. It
// is far above any sleep window in use, and stretched where one is not, so
// that an address that is still called is never forgotten.
const forgetAfter = 5 * time.Minute

// sweeper says when to look for idle addresses, one shard at a time, so that
// no call pays for all of them.
type sweeper struct {
	next   atomic.Int64 // Unix nanoseconds
	cursor atomic.Uint32
}

// sweepWhenDue forgets the idle addresses of the next shard when the time has
// come. at may be a guess: it only spares most calls a look at the clock.
func (s *Set) sweepWhenDue(at time.Time) {
	next := s.sweeper.next.Load()
	if at.UnixNano() < next {
		return
	}
	now := s.opts.clock()
	if now.UnixNano() < next || !s.sweeper.next.CompareAndSwap(next, now.Add(s.idle()/shardCount).UnixNano()) {
		return
	}
	sh := &s.shards[s.sweeper.cursor.Add(1)%shardCount]
	if sh.size.Load() > 0 {
		s.forgetIdle(sh, now, s.idle())
		s.changes.deliver()
	}
}

func (s *Set) idle() time.Duration {
	return max(forgetAfter, 2*maxForcedWindows*s.opts.sleepWindow)
}

// forgetIdle forgets what has not mattered for idle.
func (s *Set) forgetIdle(sh *shard, now time.Time, idle time.Duration) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for address, e := range sh.entries {
		if now.Sub(e.seen) >= idle {
			s.forget(sh, address, e, now)
		}
	}
}

// forgetAll forgets everything.
func (s *Set) forgetAll(sh *shard, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for address, e := range sh.entries {
		s.forget(sh, address, e, now)
	}
}
