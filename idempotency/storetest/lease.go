package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// leaseCases are for detached stores.
func (s *suite) leaseCases() []testCase {
	cases := []testCase{
		{"OwnClaimIsFoundAgain", s.ownClaim},
		{"LeaseEndsInAnOrphan", s.orphan},
		{"OrphanOfAnotherRequestIsNotTakenOver", s.orphanMismatch},
		{"TakeoverShutsTheOldOwnerOut", s.takeover},
		{"TakeoverIsFoundAgain", s.takeoverFoundAgain},
		{"OneOfManyTakers", s.oneTaker},
		{"RenewalKeepsTheLease", s.renewal},
		{"OwnerComesBackInTime", s.ownerComesBack},
		{"OrphanOutlivesItsRetention", s.orphanRetention},
	}
	if watcher, ok := s.Other.(idempotency.Watcher); ok {
		cases = append(cases, testCase{"WatchWakes", func(t *testing.T) { s.watchWakes(t, watcher) }})
	}
	if s.Skewed != nil {
		cases = append(cases, testCase{"HostClockIsNotAsked", s.hostClock})
	}
	return cases
}

func (s *suite) ownClaim(t *testing.T) {
	claim := s.newClaim(t)
	claim.Lease = time.Minute
	first := s.acquire(t, s.Store, claim)
	again := s.acquire(t, s.Store, claim) // the answer was lost
	if again.Fence != first.Fence || again.TakenOver {
		t.Errorf("fence %d after %d, taken over %v", again.Fence, first.Fence, again.TakenOver)
	}
	s.complete(t, again, "first")
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
}

// orphaned claims a key and lets the lease end.
func (s *suite) orphaned(t *testing.T) (idempotency.Claim, idempotency.Outcome) {
	t.Helper()
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	s.Sleep(2 * s.Tick)
	return claim, out
}

func (s *suite) taker(key idempotency.StoreKey) idempotency.Claim {
	taker := s.claimOf(key)
	taker.Takeover, taker.Lease = true, time.Minute
	return taker
}

func (s *suite) orphan(t *testing.T) {
	claim, _ := s.orphaned(t)
	out := s.begin(t, s.Other, s.claimOf(claim.Key))
	wantState(t, out, idempotency.Orphaned)
	if out.Fingerprint != claim.Fingerprint {
		t.Errorf("fingerprint %v", out.Fingerprint)
	}
}

func (s *suite) orphanMismatch(t *testing.T) {
	claim, _ := s.orphaned(t)
	other := s.taker(claim.Key)
	other.Fingerprint = fingerprint("other")
	wantState(t, s.begin(t, s.Other, other), idempotency.Orphaned)
	unknown := s.taker(claim.Key)
	unknown.Fingerprint = idempotency.Fingerprint{} // cannot be compared, so it matches
	wantState(t, s.begin(t, s.Other, unknown), idempotency.Acquired)
}

func (s *suite) takeover(t *testing.T) {
	claim, old := s.orphaned(t)
	taken := s.acquire(t, s.Other, s.taker(claim.Key))
	if !taken.TakenOver || taken.Fence <= old.Fence {
		t.Errorf("taken over %v, fence %d after %d", taken.TakenOver, taken.Fence, old.Fence)
	}
	shutOut := func() {
		t.Helper()
		wantLost(t, "renew", old.Execution.Renew(t.Context()))
		wantLost(t, "complete", old.Execution.Complete(t.Context(), []byte("late")))
		wantLost(t, "release", old.Execution.Release(t.Context()))
	}
	shutOut()
	wantState(t, s.begin(t, s.Store, s.claimOf(claim.Key)), idempotency.Running)
	s.complete(t, taken, "taken over")
	shutOut()
	wantDone(t, s.begin(t, s.Store, s.claimOf(claim.Key)), "taken over")
}

func (s *suite) takeoverFoundAgain(t *testing.T) {
	claim, _ := s.orphaned(t)
	taker := s.taker(claim.Key)
	first := s.acquire(t, s.Other, taker)
	for _, takeover := range []bool{true, false} {
		taker.Takeover = takeover
		if again := s.acquire(t, s.Other, taker); !again.TakenOver || again.Fence != first.Fence {
			t.Errorf("taken over %v, fence %d after %d", again.TakenOver, again.Fence, first.Fence)
		}
	}
}

func (s *suite) oneTaker(t *testing.T) {
	claim, _ := s.orphaned(t)
	var acquired atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		taker, store := s.taker(claim.Key), s.Store
		if i%2 == 1 {
			store = s.Other
		}
		group.Go(func() {
			out, err := store.Begin(t.Context(), taker)
			switch {
			case err != nil:
				t.Errorf("begin: %v", err)
			case out.State == idempotency.Acquired:
				acquired.Add(1)
				s.checkAcquired(t, out)
			case out.State != idempotency.Running:
				t.Errorf("outcome %v", out.State)
			}
		})
	}
	group.Wait()
	if acquired.Load() != 1 {
		t.Errorf("%d took over, want 1", acquired.Load())
	}
}

func (s *suite) renewal(t *testing.T) {
	claim := s.newClaim(t)
	claim.Lease = 4 * s.Tick
	out := s.acquire(t, s.Store, claim)
	for range 3 {
		s.Sleep(2 * s.Tick)
		if err := out.Execution.Renew(t.Context()); err != nil {
			t.Fatalf("renew: %v", err)
		}
	}
	wantState(t, s.begin(t, s.Other, s.taker(claim.Key)), idempotency.Running)
}

// ownerComesBack: a lease that has ended is still its owner's, as long as
// nobody has taken the key over.
func (s *suite) ownerComesBack(t *testing.T) {
	claim, out := s.orphaned(t)
	if err := out.Execution.Renew(t.Context()); err != nil {
		t.Errorf("renew: %v", err)
	}
	s.Sleep(2 * s.Tick)
	s.complete(t, out, "late but first")
	wantDone(t, s.begin(t, s.Other, s.taker(claim.Key)), "late but first")
}

func (s *suite) orphanRetention(t *testing.T) {
	claim := s.newClaim(t)
	claim.Retention = 4 * s.Tick
	s.acquire(t, s.Store, claim)
	s.Sleep(3 * s.Tick)
	wantState(t, s.begin(t, s.Other, s.claimOf(claim.Key)), idempotency.Orphaned)
	s.Sleep(4 * s.Tick)
	if out := s.acquire(t, s.Other, s.claimOf(claim.Key)); out.TakenOver {
		t.Error("a key that is absent was taken over")
	}
}

func (s *suite) watchWakes(t *testing.T, watcher idempotency.Watcher) {
	for name, end := range map[string]func(t *testing.T, out idempotency.Outcome){
		"complete": func(t *testing.T, out idempotency.Outcome) { s.complete(t, out, "first") },
		"release": func(t *testing.T, out idempotency.Outcome) {
			if err := out.Execution.Release(t.Context()); err != nil {
				t.Errorf("release: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			claim := s.newClaim(t)
			claim.Lease = time.Minute
			out := s.acquire(t, s.Store, claim)
			wake, stop, err := watcher.Watch(t.Context(), claim.Key)
			if err != nil {
				t.Fatalf("watch: %v", err)
			}
			defer stop()
			end(t, out)
			select {
			case <-wake:
			case <-time.After(cleanupTime):
				t.Error("nobody was woken")
			}
		})
	}
}

func (s *suite) hostClock(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			skewed := s.Skewed(t, off)
			claim := s.newClaim(t)
			claim.Lease, claim.Retention = time.Minute, 30*time.Minute
			out := s.acquire(t, s.Store, claim)
			wantState(t, s.begin(t, skewed, s.taker(claim.Key)), idempotency.Running)
			s.complete(t, out, "first")
			wantDone(t, s.begin(t, skewed, s.claimOf(claim.Key)), "first")

			short := s.newClaim(t)
			s.acquire(t, skewed, short)
			wantState(t, s.begin(t, s.Store, s.claimOf(short.Key)), idempotency.Running)
			s.Sleep(2 * s.Tick)
			wantState(t, s.begin(t, s.Store, s.claimOf(short.Key)), idempotency.Orphaned)
		})
	}
}
