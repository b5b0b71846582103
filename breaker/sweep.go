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
	for _, done := range s.sweep(sh, now) {
		s.carryOut(done)
	}
}

func (s *Set) idle() time.Duration {
	return max(forgetAfter, 2*quietWindows*s.opts.sleepWindow)
}

func (s *Set) sweep(sh *shard, now time.Time) []outcome {
	if sh.size.Load() == 0 {
		return nil
	}
	var gone []outcome
	idle := s.idle()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for address, e := range sh.entries {
		if now.Sub(e.seen) >= idle {
			gone = append(gone, s.forget(sh, address, e, now))
		}
	}
	return gone
}

// empty forgets all of a shard.
func (s *Set) empty(sh *shard, now time.Time) []outcome {
	var gone []outcome
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for address, e := range sh.entries {
		gone = append(gone, s.forget(sh, address, e, now))
	}
	return gone
}
