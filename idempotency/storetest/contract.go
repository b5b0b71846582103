package storetest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func (s *suite) contractCases() []testCase {
	return []testCase{
		{"FirstClaimIsAcquired", s.firstClaim},
		{"DuplicateOfARunningClaim", s.duplicateRunning},
		{"RecordComesBack", s.recordComesBack},
		{"RecordOutlivesItsWriter", s.completeAndAfter},
		{"RetentionEnds", s.retentionEnds},
		{"ReleaseFreesTheKey", s.releaseFrees},
		{"ReleaseRemembersItsAttempt", s.releaseRemembers},
		{"ReleaseMemoryEnds", s.releaseMemoryEnds},
		{"ReleaseWithoutMemory", s.releaseWithoutMemory},
		{"FenceNeverFalls", s.fenceNeverFalls},
		{"OneOfManyClaims", s.oneOfMany},
		{"CancelledBegin", s.cancelledBegin},
		{"ExecutionOutlivesBeginsContext", s.executionOutlivesContext},
		{"Identity", s.identity},
	}
}

func (s *suite) firstClaim(t *testing.T) {
	out := s.acquire(t, s.Store, s.newClaim(t))
	if out.TakenOver || out.Record != nil {
		t.Errorf("outcome %+v", out)
	}
	if ctx := out.Execution.Context(t.Context()); ctx == nil || ctx.Err() != nil {
		t.Errorf("context %v", ctx)
	}
	other := out
	if !s.transactional || !s.OneWriter {
		other = s.acquire(t, s.Other, s.newClaim(t)) // another key
	}
	for _, o := range []idempotency.Outcome{out, other} {
		if err := o.Execution.Renew(t.Context()); err != nil {
			t.Errorf("renew: %v", err)
		}
	}
}

func (s *suite) duplicateRunning(t *testing.T) {
	claim := s.newClaim(t)
	claim.Lease = time.Minute
	out := s.acquire(t, s.Store, claim)
	for _, store := range []idempotency.Store{s.Store, s.Other} {
		again := s.claimOf(claim.Key)
		again.Takeover = true
		found := s.begin(t, store, again)
		wantState(t, found, idempotency.Running)
		// A transaction that has not committed may show nothing of itself.
		if !s.transactional && found.Fingerprint != claim.Fingerprint {
			t.Errorf("fingerprint %v", found.Fingerprint)
		}
	}
	s.complete(t, out, "first")
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
}

func (s *suite) recordComesBack(t *testing.T) {
	for name, record := range map[string]string{
		"empty":  "",
		"binary": "\x00\x01\xff\xfe\r\n'\"\\%",
		"large":  strings.Repeat("0123456789abcdef", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			claim := s.newClaim(t)
			s.complete(t, s.acquire(t, s.Store, claim), record)
			wantDone(t, s.begin(t, s.Store, s.claimOf(claim.Key)), record)
			other := s.claimOf(claim.Key)
			other.Fingerprint, other.Takeover, other.Attempt = fingerprint("other"), true, 7
			wantDone(t, s.begin(t, s.Other, other), record)
		})
	}
}

// completeAndAfter: what is done stays done, whatever its owner does next.
func (s *suite) completeAndAfter(t *testing.T) {
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	s.complete(t, out, "first")
	if err := out.Execution.Complete(t.Context(), []byte("first")); err != nil && !s.transactional {
		t.Errorf("complete again: %v", err)
	}
	if err := out.Execution.Release(t.Context()); err == nil {
		t.Error("a release after the completion succeeded")
	}
	if err := out.Execution.Renew(t.Context()); err == nil && !s.transactional {
		t.Error("a renewal after the completion succeeded")
	}
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
}

func (s *suite) retentionEnds(t *testing.T) {
	claim := s.newClaim(t)
	claim.Retention = 3 * s.Tick
	s.complete(t, s.acquire(t, s.Store, claim), "first")
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
	s.Sleep(5 * s.Tick)
	s.complete(t, s.acquire(t, s.Other, s.claimOf(claim.Key)), "second")
	wantDone(t, s.begin(t, s.Store, s.claimOf(claim.Key)), "second")
}

func (s *suite) releaseFrees(t *testing.T) {
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	s.write(out.Execution.Context(t.Context()), t)
	for range 2 { // the second time because the answer to the first was lost
		if err := out.Execution.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	if err := out.Execution.Complete(t.Context(), []byte("late")); err == nil {
		t.Error("a completion after the release succeeded")
	}
	next := s.claimOf(claim.Key)
	next.Fingerprint = fingerprint("other") // nothing has happened under the first
	second := s.acquire(t, s.Other, next)
	if second.TakenOver {
		t.Error("a released key was taken over")
	}
	if err := out.Execution.Complete(t.Context(), []byte("late")); err == nil {
		t.Error("a completion by the former owner succeeded")
	}
	if err := second.Execution.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func (s *suite) release(t *testing.T, c idempotency.Claim) idempotency.Outcome {
	t.Helper()
	out := s.acquire(t, s.Store, c)
	if err := out.Execution.Release(t.Context()); err != nil {
		t.Fatalf("release: %v", err)
	}
	return out
}

func (s *suite) releaseRemembers(t *testing.T) {
	claim := s.newClaim(t)
	claim.Attempt = 2
	s.release(t, claim)
	for attempt, want := range []idempotency.State{
		idempotency.Superseded, idempotency.Superseded, idempotency.Acquired, idempotency.Acquired,
	} {
		again := s.claimOf(claim.Key)
		again.Attempt = int64(attempt)
		out := s.begin(t, s.Other, again)
		wantState(t, out, want)
		if want == idempotency.Superseded && out.Attempt != claim.Attempt {
			t.Errorf("attempt %d was released, not %d", claim.Attempt, out.Attempt)
		}
		if want == idempotency.Acquired {
			if err := out.Execution.Release(t.Context()); err != nil {
				t.Errorf("release of attempt %d: %v", attempt, err)
			}
		}
	}
	late := s.claimOf(claim.Key)
	late.Attempt = 2 // attempt 3 has been released by now
	wantState(t, s.begin(t, s.Store, late), idempotency.Superseded)
}

func (s *suite) releaseMemoryEnds(t *testing.T) {
	claim := s.newClaim(t)
	claim.Attempt, claim.ReleaseMemory = 1, 3*s.Tick
	s.release(t, claim)
	wantState(t, s.begin(t, s.Other, s.claimOf(claim.Key)), idempotency.Superseded)
	s.Sleep(5 * s.Tick)
	s.acquire(t, s.Other, s.claimOf(claim.Key))
}

func (s *suite) releaseWithoutMemory(t *testing.T) {
	claim := s.newClaim(t)
	claim.Attempt, claim.ReleaseMemory = 1, 0
	s.release(t, claim)
	s.acquire(t, s.Other, s.claimOf(claim.Key))
}

func (s *suite) fenceNeverFalls(t *testing.T) {
	claim := s.newClaim(t)
	first := s.release(t, claim)
	second := s.acquire(t, s.Other, s.claimOf(claim.Key))
	if second.Fence < first.Fence {
		t.Errorf("fence %d after %d", second.Fence, first.Fence)
	}
}

func (s *suite) oneOfMany(t *testing.T) {
	claim := s.newClaim(t)
	claim.Lease = time.Minute
	var acquired, running atomic.Int32
	var group sync.WaitGroup
	for i := range 16 {
		mine, store := claim, s.Store
		mine.Owner = s.newOwner()
		if i%2 == 1 {
			store = s.Other
		}
		group.Go(func() {
			out, err := store.Begin(t.Context(), mine)
			if err != nil {
				t.Errorf("begin: %v", err)
				return
			}
			switch out.State {
			case idempotency.Acquired:
				acquired.Add(1)
				s.checkAcquired(t, out)
			case idempotency.Running:
				running.Add(1)
			default:
				t.Errorf("outcome %v", out.State)
			}
		})
	}
	group.Wait()
	if acquired.Load() != 1 || running.Load() != 15 {
		t.Errorf("%d acquired and %d found it running, want 1 and 15", acquired.Load(), running.Load())
	}
}

// cancelledBegin: whether or not a cancelled claim was made, its owner can
// settle it, and nobody is in the way for ever.
func (s *suite) cancelledBegin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	claim := s.newClaim(t)
	out, err := s.Store.Begin(ctx, claim)
	if err == nil {
		wantState(t, out, idempotency.Acquired)
		s.checkAcquired(t, out)
	}
	if err == nil && s.transactional {
		return // the transaction is open, and ends with the test
	}
	s.complete(t, s.acquire(t, s.Store, claim), "settled")
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "settled")
}

func (s *suite) executionOutlivesContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	claim := s.newClaim(t)
	out, err := s.Store.Begin(ctx, claim)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	s.checkAcquired(t, out)
	cancel()
	time.Sleep(10 * time.Millisecond) // for a transaction to notice, if it is bound to ctx
	s.complete(t, out, "outlived")
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "outlived")
}

func (s *suite) identity(t *testing.T) {
	id := func(store idempotency.Store) string {
		id, err := store.ID(t.Context())
		if err != nil {
			t.Fatalf("ID: %v", err)
		}
		return id
	}
	mine := id(s.Store)
	if again := id(s.Store); again != mine {
		t.Errorf("identity %q, then %q", mine, again)
	}
	if other := id(s.Other); other != mine {
		t.Errorf("another handle on the same memory says %q, not %q", other, mine)
	}
	if s.Stranger != nil {
		if strange := id(s.Stranger); strange == mine && mine != "" {
			t.Errorf("another memory has the same identity %q", mine)
		}
	}
}
