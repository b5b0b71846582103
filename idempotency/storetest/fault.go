package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// faultCases break the store under one guard and look through another.
func (s *suite) faultCases() []testCase {
	cases := []testCase{
		{"ClaimAnswerLost", s.claimAnswerLost},
		{"ClaimAnswerLostForGood", s.claimAnswerLostForGood},
		{"StoreDownFailClosed", s.storeDownFailClosed},
		{"StoreDownFailOpen", s.storeDownFailOpen},
		{"CompletionAnswerLost", s.completionAnswerLost},
		{"CompletionFails", s.completionFails},
		{"ReleaseFails", s.releaseFails},
		{"CallerLeavesAtEveryStep", s.callerLeavesAtEveryStep},
		{"RecordVanishes", s.recordVanishes},
		{"RecordDamaged", s.recordDamaged},
		{"InvalidOutcome", s.invalidOutcome},
	}
	if s.transactional {
		return cases
	}
	return append(
		cases,
		testCase{"CompletionNeverSucceeds", s.completionNeverSucceeds},
		testCase{"RenewalFailsForAWhile", s.renewalFailsForAWhile},
		testCase{"OwnerLost", s.ownerLost},
		testCase{"LeaseLostAndHandlerFails", s.leaseLostHandlerFails},
	)
}

// brokenGuard returns a guard whose store has faults, and one whose has none.
func (s *suite) brokenGuard(
	t *testing.T, inject Inject, options ...idempotency.Option,
) (broken, sound *idempotency.Guard, seen *events) {
	t.Helper()
	broken, seen = s.newGuard(t, Faulty(s.Store, inject), options...)
	sound, _ = s.newGuard(t, s.Other, options...)
	return broken, sound, seen
}

func (s *suite) claimAnswerLost(t *testing.T) {
	broken, sound, _ := s.brokenGuard(t, script(OpBegin, Fault{After: ErrInjected}))
	w := s.newWorker(t, nil)
	w.wantReply(t, broken, "run 1")
	w.wantReply(t, sound, "run 1")
	w.want(t, 1, 1)
}

// claimAnswerLostForGood: a claim that nobody knows of is released, and does
// not become an orphan.
func (s *suite) claimAnswerLostForGood(t *testing.T) {
	lost := Fault{After: ErrInjected}
	broken, sound, _ := s.brokenGuard(t, script(OpBegin, lost, lost, lost), idempotency.WithLease(20*s.Tick))
	w := s.newWorker(t, nil)
	w.wantError(t, broken, idempotency.ErrUnavailable)
	w.want(t, 0, 0)
	w.wantReply(t, sound, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) storeDownFailClosed(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	broken, sound, seen := s.brokenGuard(t, failing(OpBegin, &down, Fault{Before: idempotency.NotApplied(ErrInjected)}))
	w := s.newWorker(t, nil)
	_, err := w.call(t.Context(), broken)
	var refused *idempotency.Error
	if !errors.As(err, &refused) || !refused.NothingRan || refused.Code != 503 || !errors.Is(err, ErrInjected) {
		t.Errorf("error %v", err)
	}
	if _, ok := seen.find(idempotency.EventRefused); !ok {
		t.Error("the refusal was not reported")
	}
	w.want(t, 0, 0)
	down.Store(false)
	w.wantReply(t, broken, "run 1")
	w.wantReply(t, sound, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) storeDownFailOpen(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	inject := failing(OpBegin, &down, Fault{Before: idempotency.NotApplied(ErrInjected)})
	broken, seen := s.newGuard(t, Faulty(s.Store, inject), idempotency.WithStoreFailure(idempotency.FailOpen))
	w := s.newWorker(t, nil)
	if s.transactional {
		w.suite = &suite{Harness: Harness{}} // there is no transaction to write in
	}
	w.wantReply(t, broken, "run 1")
	seen.await(t, idempotency.EventUnrecorded)
	if id, err := broken.Announce(t.Context()); id != "" || err != nil {
		t.Errorf("announced %q, %v", id, err)
	}
	if w.runs.Load() != 1 {
		t.Errorf("the handler ran %d times", w.runs.Load())
	}
}

func (s *suite) completionAnswerLost(t *testing.T) {
	broken, sound, _ := s.brokenGuard(t, script(OpComplete, Fault{After: ErrInjected}))
	w := s.newWorker(t, nil)
	w.wantReply(t, broken, "run 1")
	w.wantReply(t, sound, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) completionFails(t *testing.T) {
	fault := Fault{Before: ErrInjected}
	if s.transactional { // nothing was committed, so nothing is acknowledged
		broken, sound, _ := s.brokenGuard(t, script(OpComplete, fault))
		w := s.newWorker(t, nil)
		w.wantError(t, broken, idempotency.ErrRolledBack)
		w.want(t, 1, 0)
		w.wantReply(t, sound, "run 2")
		w.want(t, 2, 1)
		return
	}
	broken, sound, seen := s.brokenGuard(t, script(OpComplete, fault, fault), idempotency.WithLease(20*s.Tick))
	w := s.newWorker(t, nil)
	w.wantReply(t, broken, "run 1") // the work is done, and the caller knows it
	w.wantReply(t, broken, "run 1") // from memory
	w.wantReply(t, sound, "run 1")  // once the store has been told
	seen.await(t, idempotency.EventExecuted)
	w.want(t, 1, 1)
}

func (s *suite) completionNeverSucceeds(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	broken, sound, seen := s.brokenGuard(t, failing(OpComplete, &down, Fault{Before: ErrInjected}))
	w := s.newWorker(t, nil)
	w.wantReply(t, broken, "run 1")
	event := seen.await(t, idempotency.EventUnresolved)
	record, err := idempotency.DecodeRecord(event.Record)
	if err != nil || record.Content != idempotency.ContentProto || event.Scope.Key != w.key || !errors.Is(event.Err, ErrInjected) {
		t.Errorf("event %+v: record %+v, %v", event, record, err)
	}
	s.Sleep(2 * s.Tick)
	w.wantError(t, sound, idempotency.ErrOutcomeUnknown)
	w.want(t, 1, 1)
}

func (s *suite) releaseFails(t *testing.T) {
	for name, fault := range map[string]Fault{"before": {Before: ErrInjected}, "after": {After: ErrInjected}} {
		t.Run(name, func(t *testing.T) {
			broken, sound, _ := s.brokenGuard(t, script(OpRelease, fault), idempotency.WithLease(20*s.Tick))
			w := s.newWorker(t, func(_ context.Context, n int) error {
				if n == 1 {
					return idempotency.NotDone(errBusy)
				}
				return nil
			})
			w.wantError(t, broken, errBusy)
			w.wantReply(t, sound, "run 2")
			w.want(t, 2, 1)
		})
	}
}

// callerLeavesAtEveryStep cancels the caller's context before or after each
// operation in turn. Whatever that leaves, the retry gets the answer of the
// one execution.
func (s *suite) callerLeavesAtEveryStep(t *testing.T) {
	for _, op := range []Op{OpBegin, OpComplete, OpRelease} {
		for _, fault := range []Fault{{}, {Before: context.Canceled}, {After: context.Canceled}} {
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var left atomic.Bool
			inject := func(_ context.Context, got Op) Fault {
				if got != op || left.Swap(true) {
					return Fault{}
				}
				leave()
				return fault
			}
			broken, sound, _ := s.brokenGuard(t, inject, idempotency.WithLease(20*s.Tick))
			w := s.newWorker(t, func(_ context.Context, n int) error {
				if op == OpRelease && n == 1 {
					return idempotency.NotDone(errBusy)
				}
				return nil
			})
			reply, err := w.call(ctx, broken)
			if first := int(w.runs.Load()); err == nil && (reply != "run 1" || first != 1) {
				t.Errorf("%s, %+v: reply %q after %d runs", op, fault, reply, first)
			}
			released := errors.Is(err, idempotency.ErrRolledBack) || errors.Is(err, errBusy)
			if op == OpRelease && !errors.Is(err, errBusy) {
				t.Errorf("%s, %+v: error %v", op, fault, err)
			}
			last := "run 1"
			if released {
				last = "run 2"
			}
			w.wantReply(t, sound, last)
			w.wantReply(t, broken, last)
			if released {
				w.want(t, 2, 1)
			} else {
				w.want(t, 1, 1)
			}
		}
	}
}

// recordVanishes: what was seen running is gone at the next look.
func (s *suite) recordVanishes(t *testing.T) {
	w := s.newWorker(t, nil)
	claim := s.claimOf(w.storeKey())
	claim.Lease, claim.ReleaseMemory = cleanupTime, 0
	out := s.acquire(t, s.Store, claim)
	seen := make(chan struct{})
	looked := sync.OnceFunc(func() { close(seen) })
	waits, _ := s.newGuard(t, Faulty(s.Other, func(context.Context, Op) Fault {
		return Fault{Change: func(o *idempotency.Outcome) {
			if o.State == idempotency.Running {
				looked()
			}
		}}
	}))
	var group sync.WaitGroup
	group.Go(func() { w.wantReply(t, waits, "run 1") })
	select {
	case <-seen:
	case <-time.After(cleanupTime):
		t.Error("nobody was seen running")
	}
	if err := out.Execution.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	group.Wait()
	w.want(t, 1, 1)
}

func (s *suite) recordDamaged(t *testing.T) {
	damage := Fault{Change: func(o *idempotency.Outcome) {
		if o.State == idempotency.Done {
			o.Record = append([]byte(nil), o.Record...)
			o.Record[len(o.Record)-1] ^= 1
		}
	}}
	broken, sound, _ := s.brokenGuard(t, script(OpBegin, damage))
	w := s.newWorker(t, nil)
	w.wantReply(t, sound, "run 1")
	w.wantError(t, broken, idempotency.ErrCorrupt)
	w.wantReply(t, broken, "run 1") // it was only the reading
	w.want(t, 1, 1)
}

func (s *suite) invalidOutcome(t *testing.T) {
	nonsense := Fault{Change: func(o *idempotency.Outcome) { *o = idempotency.Outcome{} }}
	broken, sound, _ := s.brokenGuard(t, script(OpBegin, nonsense))
	w := s.newWorker(t, nil)
	w.wantReply(t, sound, "run 1")
	w.wantError(t, broken, idempotency.ErrUnavailable)
	w.want(t, 1, 1)
}

func (s *suite) renewalFailsForAWhile(t *testing.T) {
	broken, sound, _ := s.brokenGuard(t, script(OpRenew, Fault{Before: ErrInjected}, Fault{After: ErrInjected}),
		idempotency.WithLease(keptLease*s.Tick))
	w := s.newWorker(t, func(ctx context.Context, _ int) error {
		s.Sleep(pastLease * s.Tick)
		return ctx.Err()
	})
	w.wantReply(t, broken, "run 1")
	w.wantReply(t, sound, "run 1")
	w.want(t, 1, 1)
}

// ownerLost: an execution whose lease cannot be renewed is told so, and cannot
// overwrite the answer of the one that took its place.
func (s *suite) ownerLost(t *testing.T) {
	var cut atomic.Bool
	cut.Store(true)
	broken, sound, seen := s.brokenGuard(t, failing(OpRenew, &cut, Fault{Before: ErrInjected}),
		idempotency.WithTakeover(idempotency.TakeoverRerun()))
	var w *worker
	w = s.newWorker(t, func(ctx context.Context, n int) error {
		if n == 2 {
			return nil
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, idempotency.ErrLeaseLost) {
			t.Errorf("cause %v", cause)
		}
		s.Sleep(2 * s.Tick)
		w.wantReply(t, sound, "run 2")
		return nil
	})
	w.wantError(t, broken, idempotency.ErrLeaseLost)
	seen.await(t, idempotency.EventLeaseLost)
	w.wantReply(t, broken, "run 2")
	w.wantReply(t, sound, "run 2")
	w.want(t, 2, 2)
}

// leaseLostHandlerFails: the error of a handler that was cancelled is nobody's
// answer.
func (s *suite) leaseLostHandlerFails(t *testing.T) {
	var cut atomic.Bool
	cut.Store(true)
	broken, sound, seen := s.brokenGuard(t, failing(OpRenew, &cut, Fault{Before: ErrInjected}))
	w := s.newWorker(t, func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	})
	w.wantError(t, broken, idempotency.ErrLeaseLost)
	seen.await(t, idempotency.EventLeaseLost)
	s.Sleep(2 * s.Tick)
	w.wantError(t, sound, idempotency.ErrOutcomeUnknown)
	w.want(t, 1, 1)
}
