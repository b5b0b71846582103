package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// guardCases run two guards, as two processes would, on a store that works.
func (s *suite) guardCases() []testCase {
	cases := []testCase{
		{"Replay", s.guardReplay},
		{"RecordedError", s.guardRecordedError},
		{"ErrorThatSettlesNothing", s.guardUnsettledError},
		{"Mismatch", s.guardMismatch},
		{"JoinAcrossProcesses", s.guardJoin},
		{"WaitEnds", s.guardWaitEnds},
		{"Storm", s.guardStorm},
		{"EveryWinnerFails", s.guardWinnersFail},
		{"LateAttempt", s.guardLateAttempt},
		{"CallerLeaves", s.guardCallerLeaves},
	}
	if s.transactional {
		return cases
	}
	return append(
		cases,
		testCase{"PanicAndGoexit", s.guardPanic},
		testCase{"Hold", s.guardHold},
		testCase{"Rerun", s.guardRerun},
		testCase{"Recover", s.guardRecover},
		testCase{"LongHandlerKeepsItsLease", s.guardLongHandler},
	)
}

// twoGuards returns guards in two processes.
func (s *suite) twoGuards(t *testing.T, options ...idempotency.Option) (here, there *idempotency.Guard) {
	t.Helper()
	here, _ = s.newGuard(t, s.Store, options...)
	there, _ = s.newGuard(t, s.Other, options...)
	return here, there
}

func (s *suite) guardReplay(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, nil)
	for _, g := range []*idempotency.Guard{here, here, there} {
		w.wantReply(t, g, "run 1")
	}
	w.want(t, 1, 1)
}

func (s *suite) guardRecordedError(t *testing.T) {
	here, there := s.twoGuards(t)
	poor := idempotency.RecordedError{ID: "bank", Code: 402, Detail: "not enough", Status: "Payment Required"}
	w := s.newWorker(t, func(context.Context, int) error { return &poor })
	for _, g := range []*idempotency.Guard{here, there} {
		_, err := w.call(t.Context(), g)
		var got *idempotency.RecordedError
		if !errors.As(err, &got) || *got != poor {
			t.Errorf("error %+v", err)
		}
	}
	if w.runs.Load() != 1 {
		t.Errorf("the handler ran %d times", w.runs.Load())
	}
}

// guardUnsettledError: what is no answer is not kept, in whatever store.
func (s *suite) guardUnsettledError(t *testing.T) {
	for name, end := range map[string]error{
		"408":      &idempotency.RecordedError{Code: 408, Detail: "timed out"},
		"429":      &idempotency.RecordedError{Code: 429, Detail: "slow down"},
		"503":      &idempotency.RecordedError{Code: 503, Detail: "closed"},
		"deadline": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			here, there := s.twoGuards(t)
			w := s.newWorker(t, func(_ context.Context, n int) error {
				if n == 1 {
					return end
				}
				return nil
			})
			w.wantError(t, here, end)
			w.want(t, 1, 0)
			w.wantReply(t, there, "run 2")
			w.wantReply(t, here, "run 2")
			w.want(t, 2, 1)
		})
	}
}

func (s *suite) guardMismatch(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, nil)
	w.wantReply(t, here, "run 1")
	reply, err := w.call(t.Context(), there, func(c *idempotency.Call) { c.Body = wrapperspb.String("other") })
	if reply != "" || !errors.Is(err, idempotency.ErrMismatch) {
		t.Errorf("reply %q, %v", reply, err)
	}
	w.want(t, 1, 1)
}

// A lease that a test wants kept, and how long a handler takes that outlasts it, in
// ticks: one of a single tick is lost, and rightly, when the machine pauses for a part
// of it.
const (
	keptLease = 4
	pastLease = 5
)

func (s *suite) guardJoin(t *testing.T) {
	here, there := s.twoGuards(t, idempotency.WithLease(keptLease*s.Tick))
	started := make(chan struct{})
	w := s.newWorker(t, func(context.Context, int) error {
		close(started)
		time.Sleep(pastLease * s.Tick)
		return nil
	})
	var group sync.WaitGroup
	group.Go(func() { w.wantReply(t, here, "run 1") })
	<-started
	for range 4 {
		group.Go(func() { w.wantReply(t, here, "run 1") })
		group.Go(func() { w.wantReply(t, there, "run 1") })
	}
	group.Wait()
	w.want(t, 1, 1)
}

func (s *suite) guardWaitEnds(t *testing.T) {
	here, there := s.twoGuards(t)
	impatient, err := there.With(idempotency.WithMaxWait(s.Tick))
	if err != nil {
		t.Fatal(err)
	}
	hasty, err := there.With(idempotency.WithMaxWait(0))
	if err != nil {
		t.Fatal(err)
	}
	started, end := make(chan struct{}), make(chan struct{})
	w := s.newWorker(t, func(context.Context, int) error {
		close(started)
		<-end
		return nil
	})
	var group sync.WaitGroup
	group.Go(func() { w.wantReply(t, here, "run 1") })
	<-started
	w.wantError(t, hasty, idempotency.ErrRunning)
	w.wantError(t, impatient, idempotency.ErrWaitTimeout)
	ctx, cancel := context.WithTimeout(t.Context(), s.Tick)
	defer cancel()
	if _, err := w.call(ctx, there); !errors.Is(err, idempotency.ErrWaitTimeout) {
		t.Errorf("with a deadline: %v", err)
	}
	close(end)
	group.Wait()
	w.wantReply(t, there, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) guardStorm(t *testing.T) {
	here, there := s.twoGuards(t)
	const keys, duplicates = 8, 24
	workers := make([]*worker, keys)
	for i := range workers {
		workers[i] = s.newWorker(t, nil)
	}
	before := s.lasting(t)
	var group sync.WaitGroup
	for i := range keys * duplicates {
		w, g := workers[i%keys], here
		if i/keys%2 == 1 {
			g = there
		}
		group.Go(func() {
			if reply, err := w.call(t.Context(), g); err != nil || reply != "run 1" {
				t.Errorf("reply %q, %v", reply, err)
			}
		})
	}
	group.Wait()
	for _, w := range workers {
		if w.runs.Load() != 1 {
			t.Errorf("the handler ran %d times", w.runs.Load())
		}
	}
	if got := s.lasting(t) - before; s.transactional && got != keys {
		t.Errorf("%d business writes lasted, want %d", got, keys)
	}
}

func (s *suite) guardWinnersFail(t *testing.T) {
	here, there := s.twoGuards(t)
	const duplicates = 40
	w := s.newWorker(t, func(context.Context, int) error { return idempotency.NotDone(errBusy) })
	var group sync.WaitGroup
	for i := range duplicates {
		g := here
		if i%2 == 1 {
			g = there
		}
		group.Go(func() {
			if _, err := w.call(t.Context(), g); !errors.Is(err, errBusy) {
				t.Errorf("error %v", err)
			}
		})
	}
	group.Wait()
	w.want(t, duplicates, 0)
}

// guardLateAttempt: an attempt is late for a release, unless its sender knows of it.
// One that knows of an earlier release only is late, too.
func (s *suite) guardLateAttempt(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, func(context.Context, int) error { return idempotency.NotDone(errBusy) })
	send := func(g *idempotency.Guard, sent, released int64) error {
		_, err := w.call(t.Context(), g, func(c *idempotency.Call) { c.Attempt, c.Released = sent, released })
		return err
	}
	late := func(sent, released int64) int64 {
		t.Helper()
		err := send(there, sent, released)
		refused, ok := errors.AsType[*idempotency.Error](err)
		if !ok || !errors.Is(err, idempotency.ErrSuperseded) {
			t.Fatalf("attempt sent at %d that knows of %d: %v, want ErrSuperseded", sent, released, err)
		}
		return refused.Released
	}
	runs := 0
	executed := func(sent, released int64) {
		t.Helper()
		if err := send(here, sent, released); !errors.Is(err, errBusy) {
			t.Fatalf("attempt sent at %d that knows of %d: %v, want it executed", sent, released, err)
		}
		runs++
		w.want(t, runs, 0)
	}
	executed(100, 0)
	first := late(1, 0)
	if first != 100 {
		t.Errorf("attempt %d was released, want 100", first)
	}
	executed(2, first) // a slow clock
	second := late(1, first)
	if second <= first {
		t.Errorf("release %d after %d", second, first)
	}
	executed(3, second)
	executed(1000, 0) // a clock that is right
}

func (s *suite) guardCallerLeaves(t *testing.T) {
	here, there := s.twoGuards(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w := s.newWorker(t, func(ctx context.Context, _ int) error {
		leave()
		time.Sleep(20 * time.Millisecond)
		return ctx.Err()
	})
	if reply, err := w.call(ctx, here); err != nil || reply != "run 1" {
		t.Errorf("reply %q, %v", reply, err)
	}
	w.wantReply(t, there, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) guardPanic(t *testing.T) {
	for name, do := range map[string]func(){
		"panic":  func() { panic("storetest") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			here, there := s.twoGuards(t)
			w := s.newWorker(t, func(context.Context, int) error { do(); return nil })
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if _, err := w.call(t.Context(), here); err == nil {
					t.Error("no error")
				}
			}()
			<-gone
			_, err := w.call(t.Context(), there)
			var recorded *idempotency.RecordedError
			if !errors.As(err, &recorded) || recorded.Code != 500 {
				t.Errorf("replay: %v", err)
			}
			w.want(t, 1, 0)
		})
	}
}

// orphanOf leaves an orphan of the worker's call.
func (s *suite) orphanOf(t *testing.T, w *worker) {
	t.Helper()
	claim := s.claimOf(w.storeKey())
	claim.Fingerprint = idempotency.Fingerprint{} // which only the call itself knows
	s.acquire(t, s.Store, claim)
	s.Sleep(2 * s.Tick)
}

func (s *suite) guardHold(t *testing.T) {
	here, there := s.twoGuards(t)
	w := s.newWorker(t, nil)
	s.orphanOf(t, w)
	for _, g := range []*idempotency.Guard{here, there} {
		w.wantError(t, g, idempotency.ErrOutcomeUnknown)
	}
	w.want(t, 0, 0)
}

func (s *suite) guardRerun(t *testing.T) {
	here, there := s.twoGuards(t, idempotency.WithTakeover(idempotency.TakeoverRerun()))
	w := s.newWorker(t, func(ctx context.Context, _ int) error {
		if info, ok := idempotency.ExecutionFrom(ctx); !ok || info.Fence < 2 {
			t.Errorf("execution %+v, %v", info, ok)
		}
		return nil
	})
	s.orphanOf(t, w)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { w.wantReply(t, here, "run 1") })
		group.Go(func() { w.wantReply(t, there, "run 1") })
	}
	group.Wait()
	w.want(t, 1, 1)
}

func (s *suite) guardRecover(t *testing.T) {
	for _, c := range []struct {
		name  string
		done  bool
		reply string
		runs  int
	}{
		{"done", true, "found in the ledger", 0},
		{"not done", false, "run 1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked int
			look := func(_ context.Context, o idempotency.Orphan) (bool, error) {
				asked++
				reply, ok := o.Reply.(*wrapperspb.StringValue)
				if !ok {
					return false, fmt.Errorf("the reply is a %T", o.Reply)
				}
				reply.Value = "found in the ledger"
				return c.done, nil
			}
			here, there := s.twoGuards(t, idempotency.WithTakeover(idempotency.TakeoverRecover(look)))
			w := s.newWorker(t, nil)
			s.orphanOf(t, w)
			w.wantReply(t, here, c.reply)
			w.wantReply(t, there, c.reply)
			w.want(t, c.runs, c.runs)
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
	t.Run("not known", s.guardRecoverUnknown)
}

func (s *suite) guardRecoverUnknown(t *testing.T) {
	known := false
	look := func(context.Context, idempotency.Orphan) (bool, error) {
		if !known {
			return false, errBusy
		}
		return false, nil
	}
	here, there := s.twoGuards(t, idempotency.WithTakeover(idempotency.TakeoverRecover(look)))
	w := s.newWorker(t, nil)
	s.orphanOf(t, w)
	w.wantError(t, here, idempotency.ErrOutcomeUnknown)
	w.want(t, 0, 0)
	known = true
	s.Sleep(2 * s.Tick) // the takeover lapses
	w.wantReply(t, there, "run 1")
	w.want(t, 1, 1)
}

func (s *suite) guardLongHandler(t *testing.T) {
	here, there := s.twoGuards(t, idempotency.WithTakeover(idempotency.TakeoverRerun()), idempotency.WithLease(keptLease*s.Tick))
	w := s.newWorker(t, func(ctx context.Context, _ int) error {
		time.Sleep(pastLease * s.Tick)
		return ctx.Err()
	})
	var group sync.WaitGroup
	group.Go(func() { w.wantReply(t, here, "run 1") })
	group.Go(func() { w.wantReply(t, there, "run 1") })
	group.Wait()
	w.want(t, 1, 1)
}
