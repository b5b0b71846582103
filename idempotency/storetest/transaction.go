package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// transactionCases are for transactional stores.
func (s *suite) transactionCases() []testCase {
	return []testCase{
		{"WritesCommitWithTheRecord", s.writesCommit},
		{"ReleaseRollsBack", s.releaseRollsBack},
		{"ServerErrorRollsBack", s.serverErrorRollsBack},
		{"PanicRollsBack", s.panicRollsBack},
		{"RecordedErrorUndoesWrites", s.recordedErrorUndoes},
		{"FinalErrorKeepsWrites", s.finalErrorKeeps},
		{"BeginWaitsForTheOwner", s.beginWaits},
		{"UndoKeepsTheClaim", s.undoKeepsClaim},
	}
}

func (s *suite) writesCommit(t *testing.T) {
	before := s.lasting(t)
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	s.write(out.Execution.Context(t.Context()), t)
	if got := s.lasting(t) - before; got != 0 {
		t.Errorf("%d writes are seen before the commit", got)
	}
	if err := out.Execution.Complete(t.Context(), []byte("first")); err != nil {
		t.Fatalf("complete: %v", err)
	}
	if got := s.lasting(t) - before; got != 1 {
		t.Errorf("%d writes are seen after the commit", got)
	}
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
}

func (s *suite) releaseRollsBack(t *testing.T) {
	before := s.lasting(t)
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	s.write(out.Execution.Context(t.Context()), t)
	if err := out.Execution.Release(t.Context()); err != nil {
		t.Fatalf("release: %v", err)
	}
	if got := s.lasting(t) - before; got != 0 {
		t.Errorf("%d writes lasted", got)
	}
	s.acquire(t, s.Other, s.claimOf(claim.Key))
}

func (s *suite) serverErrorRollsBack(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, func(_ context.Context, n int) error {
		if n == 1 {
			return errBusy // a 500
		}
		return nil
	})
	w.wantError(t, here, errBusy)
	w.want(t, 1, 0)
	w.wantReply(t, there, "run 2")
	w.want(t, 2, 1)
}

func (s *suite) panicRollsBack(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, func(_ context.Context, n int) error {
		if n == 1 {
			panic("storetest")
		}
		return nil
	})
	_, err := w.call(t.Context(), here)
	if _, ok := errors.AsType[*idempotency.PanicError](err); !ok {
		t.Errorf("error %v", err)
	}
	w.want(t, 1, 0)
	w.wantReply(t, there, "run 2")
	w.want(t, 2, 1)
}

func (s *suite) recordedErrorUndoes(t *testing.T) {
	here, there := s.twoGuards(t)
	poor := &idempotency.RecordedError{Code: 402, Detail: "not enough"}
	w := s.newWorker(t, func(context.Context, int) error { return poor })
	for _, g := range []*idempotency.Guard{here, there} {
		if _, err := w.call(t.Context(), g); err == nil || err.Error() != poor.Detail {
			t.Errorf("error %v", err)
		}
	}
	w.want(t, 1, 0)
}

// finalErrorKeeps: a payment that was declined keeps its row, if its handler says
// so, whatever the code of its error.
func (s *suite) finalErrorKeeps(t *testing.T) {
	for _, code := range []int32{402, 503} {
		here, there := s.twoGuards(t)
		declined := &idempotency.RecordedError{Code: code, Detail: "declined"}
		w := s.newWorker(t, func(context.Context, int) error { return idempotency.FinalKeepWrites(declined) })
		for _, g := range []*idempotency.Guard{here, there} {
			_, err := w.call(t.Context(), g)
			if got, ok := errors.AsType[*idempotency.RecordedError](err); !ok || *got != *declined {
				t.Errorf("error %v, want %v", err, declined)
			}
		}
		w.want(t, 1, 1)
	}
}

// beginWaits: with time to wait, a duplicate gets the record, not "running".
func (s *suite) beginWaits(t *testing.T) {
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	waiting := s.claimOf(claim.Key)
	waiting.Wait = cleanupTime
	var group sync.WaitGroup
	group.Go(func() {
		found, err := s.Other.Begin(t.Context(), waiting)
		if err != nil || (found.State != idempotency.Done && found.State != idempotency.Running) {
			t.Errorf("outcome %v, %v", found.State, err)
		}
	})
	time.Sleep(s.Tick / 3)
	s.complete(t, out, "first")
	group.Wait()
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "first")
}

func (s *suite) undoKeepsClaim(t *testing.T) {
	before := s.lasting(t)
	claim := s.newClaim(t)
	out := s.acquire(t, s.Store, claim)
	undoer, ok := out.Execution.(idempotency.Undoer)
	if !ok {
		t.Fatal("the execution of a transactional store is no idempotency.Undoer")
	}
	s.write(out.Execution.Context(t.Context()), t)
	if err := undoer.Undo(t.Context()); err != nil {
		t.Fatalf("undo: %v", err)
	}
	if err := out.Execution.Complete(t.Context(), []byte("refused")); err != nil {
		t.Fatalf("complete: %v", err)
	}
	if got := s.lasting(t) - before; got != 0 {
		t.Errorf("%d writes lasted", got)
	}
	wantDone(t, s.begin(t, s.Other, s.claimOf(claim.Key)), "refused")
}
