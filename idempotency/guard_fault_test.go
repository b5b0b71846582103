package idempotency_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

var errCut = errors.New("connection cut")

// frozen hangs on the operations of a kind until their context ends.
func frozen(op storetest.Op, on *atomic.Bool) storetest.Inject {
	return func(ctx context.Context, got storetest.Op) storetest.Fault {
		if got != op || !on.Load() {
			return storetest.Fault{}
		}
		<-ctx.Done()
		return storetest.Fault{Before: ctx.Err()}
	}
}

// A store that hangs costs its timeout, once for all duplicates, and then
// nothing: the claims in doubt are looked after and given up.
func TestFrozenStoreFailsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hangs.Store(true)
		store := newStore(t)
		guard, seen := newGuard(t, storetest.Faulty(store, frozen(storetest.OpBegin, &hangs)))
		w := &worker{}
		start := time.Now()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				_, _, err := w.call(t.Context(), guard, "k")
				wantError(t, err, idempotency.ErrUnavailable, 503, true)
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("took %v", took)
				}
			})
		}
		group.Wait()
		w.want(t, 0)
		time.Sleep(time.Minute)
		if n := seen.count(idempotency.EventUnresolved); n != 1 {
			t.Errorf("%d claims were given up, want 1: %+v", n, seen.list)
		}
		hangs.Store(false)
		if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" {
			t.Errorf("afterwards: %q, %v", reply, err)
		}
	})
}

// A follower that comes to lead has not seen anybody run, so that a store that
// hangs costs it no more than the first.
func TestFollowerThatLeadsLooksBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		guard, _ := newGuard(t, storetest.Faulty(newStore(t), frozen(storetest.OpBegin, &hangs)))
		w := &worker{do: func(context.Context, int) error {
			time.Sleep(time.Second)
			hangs.Store(true)
			return idempotency.NotDone(errCut)
		}}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), guard, "k"); err != errCut {
				t.Errorf("leader: %v", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		_, _, err := w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrUnavailable, 503, true)
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
		group.Wait()
		hangs.Store(false)
		if err := guard.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestFailOpenRunsAndReplaysInTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hangs.Store(true)
		guard, seen := newGuard(t, storetest.Faulty(newStore(t), frozen(storetest.OpBegin, &hangs)),
			idempotency.WithStoreFailure(idempotency.FailOpen))
		w := &worker{do: func(ctx context.Context, _ int) error {
			if info, ok := idempotency.ExecutionFrom(ctx); !ok || info.Fence != 0 {
				t.Errorf("execution %+v, %v", info, ok)
			}
			time.Sleep(time.Second)
			hangs.Store(false)
			return nil
		}}
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" {
					t.Errorf("%q, %v", reply, err)
				}
			})
		}
		group.Wait()
		w.want(t, 1)
		if seen.count(idempotency.EventUnrecorded) != 1 {
			t.Errorf("events %+v", seen.list)
		}
		time.Sleep(time.Second) // the store is back, and is told
		if reply, result, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" || !result.Replayed {
			t.Errorf("afterwards: %q, %+v, %v", reply, result, err)
		}
		if err := guard.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// What was executed without a claim is settled as any other, when the store is
// back: whether it had made the claim was in doubt.
func TestFailOpenKeepsItsManners(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(context.Context, int) error
		runs int // after another call
	}{
		{"not done", func(context.Context, int) error { return idempotency.NotDone(errCut) }, 2},
		{"panic", func(context.Context, int) error { panic(errCut) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				down.Store(true)
				store := newStore(t)
				guard, seen := newGuard(t, storetest.Faulty(store, func(_ context.Context, op storetest.Op) storetest.Fault {
					if op == storetest.OpBegin && down.Load() {
						return storetest.Fault{After: errCut} // the claim is made, and not known
					}
					return storetest.Fault{}
				}), idempotency.WithStoreFailure(idempotency.FailOpen))
				elsewhere, _ := newGuard(t, store)
				w := &worker{do: test.do}
				if _, _, err := w.call(t.Context(), guard, "k"); !errors.Is(err, errCut) {
					t.Errorf("error %v", err)
				}
				down.Store(false)
				if err := guard.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				if _, _, err := w.call(t.Context(), elsewhere, "k"); err == nil || errors.Is(err, idempotency.ErrOutcomeUnknown) {
					t.Errorf("elsewhere: %v", err)
				}
				w.want(t, test.runs)
				if seen.count(idempotency.EventUnresolved) != 0 {
					t.Errorf("events %+v", seen.list)
				}
			})
		})
	}
}

// While another process runs the key, FailOpen must not run it too.
func TestFailOpenDoesNotRunWhatItSawRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		var looks atomic.Int32
		inject := func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpBegin && looks.Add(1) > 1 {
				return storetest.Fault{Before: idempotency.NotApplied(errCut)}
			}
			return storetest.Fault{}
		}
		elsewhere, _ := newGuard(t, store)
		guard, _ := newGuard(t, storetest.Faulty(store, inject), idempotency.WithStoreFailure(idempotency.FailOpen))
		w := &worker{do: func(context.Context, int) error { time.Sleep(5 * time.Second); return nil }}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), elsewhere, "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		_, _, err := w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrWaitTimeout, 408, false)
		group.Wait()
		w.want(t, 1)
	})
}

func TestLeaseIsRenewedOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var renewals []time.Duration
		inject := func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpRenew {
				renewals = append(renewals, time.Since(start))
			}
			return storetest.Fault{}
		}
		guard, _ := newGuard(t, storetest.Faulty(newStore(t), inject), idempotency.WithLease(9*time.Second))
		w := &worker{do: func(context.Context, int) error { time.Sleep(10 * time.Second); return nil }}
		if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want := []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}
		if len(renewals) != len(want) {
			t.Fatalf("renewed at %v, want %v", renewals, want)
		}
		for i := range want {
			if renewals[i] != want[i] {
				t.Errorf("renewed at %v, want %v", renewals, want)
			}
		}
	})
}

// An execution learns that it lost its lease no later than the lease ends.
func TestLeaseLostInTime(t *testing.T) {
	var hangs atomic.Bool
	hangs.Store(true)
	for name, inject := range map[string]storetest.Inject{
		"cut":  script(storetest.OpRenew, storetest.Fault{Before: errCut}),
		"lost": script(storetest.OpRenew, storetest.Fault{Before: idempotency.ErrLost}),
		"hang": frozen(storetest.OpRenew, &hangs),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard, seen := newGuard(t, storetest.Faulty(newStore(t), inject))
				w := &worker{do: func(ctx context.Context, _ int) error {
					start := time.Now()
					<-ctx.Done()
					if took := time.Since(start); took > 10*time.Second || !errors.Is(context.Cause(ctx), idempotency.ErrLeaseLost) {
						t.Errorf("cancelled after %v: %v", took, context.Cause(ctx))
					}
					return ctx.Err()
				}}
				_, _, err := w.call(t.Context(), guard, "k")
				wantError(t, err, idempotency.ErrLeaseLost, 409, false)
				if seen.count(idempotency.EventLeaseLost) != 1 {
					t.Errorf("events %+v", seen.list)
				}
			})
		})
	}
}

// A renewal that hangs must not hold up the end of the execution.
func TestHungRenewalDoesNotHoldTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hangs.Store(true)
		guard, _ := newGuard(t, storetest.Faulty(newStore(t), frozen(storetest.OpRenew, &hangs)))
		w := &worker{do: func(context.Context, int) error { time.Sleep(4 * time.Second); return nil }}
		start := time.Now()
		if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCompletionIsRetriedWithinTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		store := newStore(t)
		inject := func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpComplete && down.Load() {
				return storetest.Fault{Before: errCut}
			}
			return storetest.Fault{}
		}
		guard, seen := newGuard(t, storetest.Faulty(store, inject))
		elsewhere, _ := newGuard(t, store)
		w := &worker{}
		start := time.Now()
		if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" || time.Since(start) != 0 {
			t.Errorf("after %v: %q, %v", time.Since(start), reply, err)
		}
		for range 3 { // from memory, as the store still says "running"
			if reply, result, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" || !result.Replayed {
				t.Errorf("%q, %+v, %v", reply, result, err)
			}
		}
		time.Sleep(5 * time.Second)
		down.Store(false)
		if reply, _, err := w.call(t.Context(), elsewhere, "k"); err != nil || reply != "run 1" {
			t.Errorf("elsewhere: %q, %v", reply, err)
		}
		synctest.Wait()
		if seen.count(idempotency.EventExecuted) != 1 || seen.count(idempotency.EventUnresolved) != 0 {
			t.Errorf("events %+v", seen.list)
		}
		w.want(t, 1)
	})
}

func TestReleaseIsRetriedWithinTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		store := newStore(t)
		guard, _ := newGuard(t, storetest.Faulty(store, func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpRelease && down.Load() {
				return storetest.Fault{Before: errCut}
			}
			return storetest.Fault{}
		}))
		w := &worker{do: func(_ context.Context, n int) error {
			if n == 1 {
				return idempotency.NotDone(errors.New("busy"))
			}
			return nil
		}}
		if _, _, err := w.call(t.Context(), guard, "k"); err == nil || err.Error() != "busy" {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		down.Store(false)
		if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 2" {
			t.Errorf("%q, %v", reply, err)
		}
	})
}

func TestUnresolvedCompletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inject := script(storetest.OpComplete, storetest.Fault{Before: errCut})
		guard, seen := newGuard(t, storetest.Faulty(newStore(t), inject))
		w := &worker{}
		if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if seen.count(idempotency.EventUnresolved) != 1 {
			t.Fatalf("events %+v", seen.list)
		}
		event := seen.list[len(seen.list)-1]
		record, err := idempotency.DecodeRecord(event.Record)
		if err != nil || len(record.Body) == 0 || event.Scope.Key != "k" || event.Fence != 1 || event.Owner == (idempotency.Owner{}) {
			t.Errorf("event %+v, %v", event, err)
		}
		_, _, err = w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrOutcomeUnknown, 409, false)
		w.want(t, 1)
	})
}

// A drain that is out of patience reports what it leaves behind.
func TestDrainGivesUpOnCompletions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inject := script(storetest.OpComplete, storetest.Fault{Before: errCut})
		guard, seen := newGuard(t, storetest.Faulty(newStore(t), inject))
		w := &worker{}
		if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := guard.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		synctest.Wait()
		if seen.count(idempotency.EventUnresolved) != 1 {
			t.Errorf("events %+v", seen.list)
		}
	})
}

func TestRecoveryThatPanicsIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		orphan(t, store)
		guard, seen := newGuard(t, store, idempotency.WithTakeover(idempotency.TakeoverRecover(
			func(context.Context, idempotency.Orphan) (bool, error) { panic("ledger") })))
		w := &worker{}
		for range 2 { // and is asked again when the takeover has lapsed
			_, _, err := w.call(t.Context(), guard, "k")
			wantError(t, err, idempotency.ErrOutcomeUnknown, 409, false)
		}
		w.want(t, 0)
		if seen.count(idempotency.EventPanicked) != 2 || seen.count(idempotency.EventTakenOver) != 2 {
			t.Errorf("events %+v", seen.list)
		}
	})
}

// orphanClaim is a claim of the call with key "k".
func orphanClaim() idempotency.Claim {
	scope := idempotency.Scope{Service: "bank", Endpoint: "Wallet.Tip", Caller: "alice", Key: "k"}
	return idempotency.Claim{
		Key: scope.StoreKey(), Scope: scope, Owner: idempotency.Owner{1}, Instance: "dead:1",
		Lease: time.Second, Timeout: time.Minute, Retention: time.Hour,
	}
}

// orphan leaves a claim on the call with key "k" as a process that died does,
// and returns it.
func orphan(t *testing.T, store idempotency.Store) idempotency.Claim {
	t.Helper()
	claim := orphanClaim()
	if out, err := store.Begin(t.Context(), claim); err != nil || out.State != idempotency.Acquired {
		t.Fatalf("outcome %v, %v", out.State, err)
	}
	time.Sleep(2 * time.Second)
	return claim
}

func TestRolledBackIsNotAcknowledged(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		reason error
		code   int
	}{
		{"rolled back", idempotency.Repeatable(errCut), idempotency.ErrRolledBack, 503},
		{"not the owner", idempotency.ErrLost, idempotency.ErrRolledBack, 503},
		{"with a status", idempotency.Repeatable(&idempotency.KeyError{}), idempotency.ErrRolledBack, 400},
		{"for good", idempotency.NotApplied(errCut), idempotency.ErrNotCommitted, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			guard, _ := newGuard(t, transactional{storetest.Faulty(newStore(t), func(_ context.Context, op storetest.Op) storetest.Fault {
				if op == storetest.OpComplete {
					return storetest.Fault{Before: test.err}
				}
				return storetest.Fault{}
			})})
			w := &worker{}
			_, _, err := w.call(t.Context(), guard, "k")
			wantError(t, err, test.reason, test.code, true)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v hides its cause", err)
			}
		})
	}
}

func TestUnknownCommitStaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begins atomic.Int32
		guard, seen := newGuard(t, transactional{storetest.Faulty(newStore(t), func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpComplete || op == storetest.OpBegin && begins.Add(1) > 1 {
				return storetest.Fault{Before: errCut}
			}
			return storetest.Fault{}
		})})
		w := &worker{}
		_, _, err := w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrCommitUnknown, 500, false)
		if seen.count(idempotency.EventUnresolved) != 1 || !strings.Contains(err.Error(), "connection cut") {
			t.Errorf("%v, events %+v", err, seen.list)
		}
	})
}

// TestUnknownCommitShowsNobodyElsesRecord: if the key has been used for another
// request by the time the store is asked, the commit did not take place.
func TestUnknownCommitShowsNobodyElsesRecord(t *testing.T) {
	other, err := idempotency.FingerprintOf(wrapperspb.String("1000 cents"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := idempotency.Record{Content: idempotency.ContentNone}.Encode()
	for _, now := range []idempotency.Outcome{
		{State: idempotency.Done, Fingerprint: other, Record: theirs}, {State: idempotency.Superseded},
	} {
		cut := storetest.Faulty(newStore(t), script(storetest.OpComplete, storetest.Fault{Before: errCut}))
		guard, seen := newGuard(t, &usedSince{Store: transactional{cut}, now: now})
		w := &worker{}
		_, _, err = w.call(t.Context(), guard, "k")
		wantError(t, err, idempotency.ErrRolledBack, 503, true)
		if seen.count(idempotency.EventUnresolved) != 0 || seen.count(idempotency.EventReplayed) != 0 {
			t.Errorf("events %+v", seen.list)
		}
	}
}

// usedSince is a store in which a key is found in another state after its claim.
type usedSince struct {
	idempotency.Store
	now    idempotency.Outcome
	begins atomic.Int32
}

func (s *usedSince) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	if s.begins.Add(1) == 1 {
		return s.Store.Begin(ctx, c)
	}
	return s.now, nil
}

// transactional makes a detached store look like one whose writes commit with
// the record.
type transactional struct{ idempotency.Store }

func (s transactional) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	out, err := s.Store.Begin(ctx, c)
	out.Transactional = true
	return out, err
}

// fails is a store whose every answer is of one kind.
type fails struct {
	idempotency.Store
	err error
}

func (s fails) Begin(context.Context, idempotency.Claim) (idempotency.Outcome, error) {
	return idempotency.Outcome{}, s.err
}

func TestSettlingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, seen := newGuard(t, fails{err: errCut})
		w := &worker{}
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				call, reply := tip("k")
				call.Endpoint = strings.Repeat("x", i)
				_, _, err := w.send(t.Context(), guard, call, reply)
				wantError(t, err, idempotency.ErrUnavailable, 503, true)
			})
		}
		group.Wait()
		if n := seen.count(idempotency.EventUnresolved); n != 1000-256 {
			t.Errorf("%d were given up at once, want %d", n, 1000-256)
		}
		time.Sleep(time.Minute)
		if n := seen.count(idempotency.EventUnresolved); n != 1000 {
			t.Errorf("%d were given up in the end, want 1000", n)
		}
		w.want(t, 0)
	})
}

func TestAnnounce(t *testing.T) {
	id := identified{newStore(t)}
	closed, _ := newGuard(t, id)
	if got, err := closed.Announce(t.Context()); got != "id" || err != nil {
		t.Errorf("announced %q, %v", got, err)
	}
	open, err := closed.With(idempotency.WithStoreFailure(idempotency.FailOpen))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open.Announce(t.Context()); got != "" || err != nil {
		t.Errorf("announced %q, %v", got, err)
	}
}

type identified struct{ idempotency.Store }

func (identified) ID(context.Context) (string, error) { return "id", nil }

// A watch that fails, and a store without watches, are polled.
func TestPolling(t *testing.T) {
	for name, wrap := range map[string]func(idempotency.Store) idempotency.Store{
		"no watches":   func(s idempotency.Store) idempotency.Store { return identified{s} },
		"watches fail": func(s idempotency.Store) idempotency.Store { return noWatch{s} },
		"deaf watches": func(s idempotency.Store) idempotency.Store { return deafWatch{s} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				elsewhere, _ := newGuard(t, store)
				var looks atomic.Int32
				guard, _ := newGuard(t, wrap(storetest.Faulty(store, func(_ context.Context, op storetest.Op) storetest.Fault {
					looks.Add(1)
					return storetest.Fault{}
				})))
				w := &worker{do: func(context.Context, int) error { time.Sleep(20500 * time.Millisecond); return nil }}
				var group sync.WaitGroup
				group.Go(func() {
					if _, _, err := w.call(t.Context(), elsewhere, "k"); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				start := time.Now()
				if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" {
					t.Errorf("%q, %v", reply, err)
				}
				if took := time.Since(start); took > 22*time.Second {
					t.Errorf("answered after %v", took)
				}
				if n := looks.Load(); n > 20+12 {
					t.Errorf("%d looks in 20 seconds", n)
				}
				group.Wait()
				w.want(t, 1)
			})
		})
	}
}

// What changes between a look and the beginning of the watch is not missed.
func TestChangeBeforeTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		elsewhere, _ := newGuard(t, store)
		slow := slowWatch{deafWatch{store}, 5 * time.Second}
		guard, _ := newGuard(t, slow, idempotency.WithStoreTimeout(10*time.Second), idempotency.WithPollInterval(20*time.Second))
		w := &worker{do: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), elsewhere, "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %q, %v", time.Since(start), reply, err)
		}
		group.Wait()
	})
}

// slowWatch takes its time to begin.
type slowWatch struct {
	deafWatch
	takes time.Duration
}

func (s slowWatch) Watch(ctx context.Context, key idempotency.StoreKey) (<-chan struct{}, func(), error) {
	time.Sleep(s.takes)
	return s.deafWatch.Watch(ctx, key)
}

type noWatch struct{ idempotency.Store }

func (noWatch) Watch(context.Context, idempotency.StoreKey) (<-chan struct{}, func(), error) {
	return nil, nil, errCut
}

type deafWatch struct{ idempotency.Store }

func (deafWatch) Watch(context.Context, idempotency.StoreKey) (<-chan struct{}, func(), error) {
	return make(chan struct{}), func() {}, nil
}

func TestDoubtfulTakeoverIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		call, _ := tip("k")
		claim := orphan(t, store) // the answer to whose takeover is lost
		var begins atomic.Int32
		guard, _ := newGuard(t, storetest.Faulty(store, func(_ context.Context, op storetest.Op) storetest.Fault {
			if op == storetest.OpBegin && begins.Add(1) <= 2 {
				return storetest.Fault{After: errCut}
			}
			return storetest.Fault{}
		}), idempotency.WithTakeover(idempotency.TakeoverRerun()))
		_, err := guard.Do(t.Context(), call, func(context.Context) error { return nil })
		wantError(t, err, idempotency.ErrUnavailable, 503, true)
		time.Sleep(time.Minute)
		claim.Owner = idempotency.Owner{2}
		if out, err := store.Begin(t.Context(), claim); err != nil || out.State != idempotency.Orphaned {
			t.Errorf("the orphan is %v, %v", out.State, err)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	b.Run("first", func(b *testing.B) { benchmarkGuard(b, true) })
	b.Run("replay", func(b *testing.B) { benchmarkGuard(b, false) })
}

func benchmarkGuard(b *testing.B, first bool) {
	store := benchStore(b)
	guard, err := idempotency.New(store, idempotency.WithHook(func(context.Context, idempotency.Event) {}))
	if err != nil {
		b.Fatal(err)
	}
	keys := benchKeys(first, b.N)
	body := wrapperspb.String("10 cents")
	handler := func(context.Context) error { return nil }
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		reply := &wrapperspb.StringValue{Value: "done"}
		call := idempotency.Call{
			Service: "bank", Endpoint: "Wallet.Tip",
			Key: idempotency.Key{Value: keys[i%len(keys)]}, Body: body, Reply: reply,
		}
		if _, err := guard.Do(b.Context(), call, handler); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B) idempotency.Store {
	b.Helper()
	store, err := memstore.New()
	if err != nil {
		b.Fatal(err)
	}
	return store
}

// benchKeys returns a key for each call, or one for all.
func benchKeys(first bool, calls int) []string {
	if !first {
		return []string{"k"}
	}
	keys := make([]string, calls)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return keys
}

// TestClaimThatCannotBeRead: a store that cannot read what is under a key says
// so with an error that has changed nothing.
func TestClaimThatCannotBeRead(t *testing.T) {
	damaged := fails{newStore(t), idempotency.NotApplied(errors.New("damaged"))}
	guard, _ := newGuard(t, damaged)
	w := &worker{}
	_, _, err := w.call(t.Context(), guard, "k")
	wantError(t, err, idempotency.ErrUnavailable, 503, true)
	w.want(t, 0)
	open, err := guard.With(idempotency.WithStoreFailure(idempotency.FailOpen))
	if err != nil {
		t.Fatal(err)
	}
	if reply, _, err := w.call(t.Context(), open, "k"); err != nil || reply != "run 1" {
		t.Errorf("open: %q, %v", reply, err)
	}
}
