package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

func newStore(t *testing.T) *memstore.Store {
	t.Helper()
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// events counts what a guard reports.
type events struct {
	mu   sync.Mutex
	list []idempotency.Event
}

func (e *events) hook(_ context.Context, event idempotency.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) count(kind idempotency.EventKind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.list {
		if event.Kind == kind {
			n++
		}
	}
	return n
}

// newGuard returns a guard, and what it reports.
func newGuard(t *testing.T, store idempotency.Store, options ...idempotency.Option) (*idempotency.Guard, *events) {
	t.Helper()
	seen := &events{}
	guard, err := idempotency.New(store, append([]idempotency.Option{
		idempotency.WithHook(seen.hook), idempotency.WithLogger(slog.New(slog.DiscardHandler)),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return guard, seen
}

// tip is a keyed call, with its own reply.
func tip(key string) (idempotency.Call, *wrapperspb.StringValue) {
	reply := &wrapperspb.StringValue{}
	return idempotency.Call{
		Service: "bank", Endpoint: "Wallet.Tip", Caller: "alice",
		Key: idempotency.Key{Value: key}, Body: wrapperspb.String("10 cents"), Reply: reply,
	}, reply
}

// worker is a handler that counts its executions.
type worker struct {
	runs atomic.Int32
	do   func(ctx context.Context, n int) error
}

func (w *worker) call(ctx context.Context, g *idempotency.Guard, key string) (string, idempotency.Result, error) {
	call, reply := tip(key)
	return w.send(ctx, g, call, reply)
}

func (w *worker) send(
	ctx context.Context, g *idempotency.Guard, call idempotency.Call, reply *wrapperspb.StringValue,
) (string, idempotency.Result, error) {
	result, err := g.Do(ctx, call, func(ctx context.Context) error {
		n := int(w.runs.Add(1))
		reply.Value = fmt.Sprintf("run %d", n)
		if w.do != nil {
			return w.do(ctx, n)
		}
		return nil
	})
	return reply.GetValue(), result, err
}

func (w *worker) want(t *testing.T, runs int) {
	t.Helper()
	if got := int(w.runs.Load()); got != runs {
		t.Errorf("the handler ran %d times, want %d", got, runs)
	}
}

// wantError checks a guard's error in full.
func wantError(t *testing.T, err, reason error, code int, nothingRan bool) {
	t.Helper()
	var typed *idempotency.Error
	if !errors.As(err, &typed) || !errors.Is(err, reason) {
		t.Fatalf("error %v, want %v", err, reason)
	}
	if typed.StatusCode() != code || typed.NothingRan != nothingRan {
		t.Errorf("code %d, nothing ran %v; want %d, %v", typed.Code, typed.NothingRan, code, nothingRan)
	}
	if !strings.HasPrefix(err.Error(), "idempotency: ") {
		t.Errorf("text %q", err)
	}
}

func TestDuplicateIsReplayed(t *testing.T) {
	guard, seen := newGuard(t, newStore(t))
	w := &worker{}
	for i := range 3 {
		reply, result, err := w.call(t.Context(), guard, "k")
		if err != nil || reply != "run 1" || result.Replayed != (i > 0) {
			t.Errorf("call %d: %q, %+v, %v", i, reply, result, err)
		}
	}
	w.want(t, 1)
	if seen.count(idempotency.EventExecuted) != 1 || seen.count(idempotency.EventReplayed) != 2 {
		t.Errorf("events %+v", seen.list)
	}
}

func TestScopesNeverMeet(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	w := &worker{}
	change := []func(*idempotency.Call){
		func(*idempotency.Call) {},
		func(c *idempotency.Call) { c.Caller = "bob" },
		func(c *idempotency.Call) { c.Endpoint = "Wallet.Take" },
		func(c *idempotency.Call) { c.Service = "shop" },
		func(c *idempotency.Call) { c.Key.Value = "l" },
		func(c *idempotency.Call) { c.Service, c.Endpoint = "ban", "kWallet.Tip" },
		func(c *idempotency.Call) { c.Caller, c.Key.Value = "", "alicek" },
	}
	for i, f := range change {
		call, reply := tip("k")
		f(&call)
		got, result, err := w.send(t.Context(), guard, call, reply)
		if want := fmt.Sprintf("run %d", i+1); got != want || result.Replayed || err != nil {
			t.Errorf("call %d: %q, %+v, %v", i, got, result, err)
		}
	}
	w.want(t, len(change))
}

func TestBadCallsRunNothing(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name   string
		change func(*idempotency.Call)
		reason error
		code   int
	}{
		{"no key", func(c *idempotency.Call) { c.Key.Value = "" }, idempotency.ErrInvalidKey, 400},
		{"malformed key", func(c *idempotency.Call) { c.Key.Value = "a b" }, idempotency.ErrInvalidKey, 400},
		{"leaked key", func(c *idempotency.Call) { c.Key.For = "shop/Order.Place" }, idempotency.ErrForeignKey, 400},
		{"old key", func(c *idempotency.Call) { c.Key.Issued = now.Add(-25 * time.Hour) }, idempotency.ErrExpired, 412},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := newStore(t)
			guard, seen := newGuard(t, store)
			w := &worker{}
			call, reply := tip("k")
			test.change(&call)
			_, _, err := w.send(t.Context(), guard, call, reply)
			var coded interface{ StatusCode() int }
			if !errors.Is(err, test.reason) || !errors.As(err, &coded) || coded.StatusCode() != test.code {
				t.Errorf("error %v", err)
			}
			w.want(t, 0)
			if seen.count(idempotency.EventRefused) != 1 {
				t.Errorf("events %+v", seen.list)
			}
			if store.Len() != 0 {
				t.Errorf("the store holds %d entries", store.Len())
			}
		})
	}
}

func TestOtherBodyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, newStore(t))
		w := &worker{do: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
		other := func() error {
			call, reply := tip("k")
			call.Body = wrapperspb.String("1000 cents")
			got, _, err := w.send(t.Context(), guard, call, reply)
			if got != "" {
				t.Errorf("the reply of another request came back: %q", got)
			}
			return err
		}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wantError(t, other(), idempotency.ErrMismatch, 422, true) // while running
		group.Wait()
		wantError(t, other(), idempotency.ErrMismatch, 422, true) // when done
		w.want(t, 1)
	})
}

// A wrong request that comes first to a process must not spoil the answer of a
// right one that comes second.
func TestWrongLeaderDoesNotSpoilFollowers(t *testing.T) {
	store := newStore(t)
	guard, _ := newGuard(t, store)
	w := &worker{}
	if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			call, reply := tip("k")
			if i%2 == 0 {
				call.Body = wrapperspb.String("wrong")
			}
			got, _, err := w.send(t.Context(), guard, call, reply)
			if i%2 == 0 && !errors.Is(err, idempotency.ErrMismatch) || i%2 == 1 && (err != nil || got != "run 1") {
				t.Errorf("call %d: %q, %v", i, got, err)
			}
		})
	}
	group.Wait()
	w.want(t, 1)
}

func TestErrorIsRecorded(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	poor := &idempotency.RecordedError{ID: "bank", Code: 402, Detail: "not enough money", Status: "Payment Required"}
	plain := errors.New("disk full")
	for _, test := range []struct {
		name string
		err  error
		want idempotency.RecordedError
	}{
		{"typed", poor, *poor},
		{"wrapped", fmt.Errorf("tip: %w", poor), *poor},
		{"plain", plain, idempotency.RecordedError{Code: 500, Detail: "disk full"}},
		{"with a status", &idempotency.KeyError{Reason: "x"}, idempotency.RecordedError{Code: 400, Detail: (&idempotency.KeyError{Reason: "x"}).Error()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &worker{do: func(context.Context, int) error { return test.err }}
			if _, _, err := w.call(t.Context(), guard, test.name[:4]); err != test.err {
				t.Errorf("first: %v", err)
			}
			_, result, err := w.call(t.Context(), guard, test.name[:4])
			var recorded *idempotency.RecordedError
			if !errors.As(err, &recorded) || *recorded != test.want || !result.Replayed {
				t.Errorf("second: %+v, %+v", err, result)
			}
			w.want(t, 1)
		})
	}
}

func TestNotDoneIsReleased(t *testing.T) {
	guard, seen := newGuard(t, newStore(t))
	busy := errors.New("busy")
	w := &worker{do: func(_ context.Context, n int) error {
		if n == 1 {
			return idempotency.NotDone(busy)
		}
		return nil
	}}
	if _, _, err := w.call(t.Context(), guard, "k"); err != busy {
		t.Errorf("first: %v", err)
	}
	if reply, result, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 2" || result.Replayed {
		t.Errorf("second: %q, %+v, %v", reply, result, err)
	}
	if seen.count(idempotency.EventReleased) != 1 || idempotency.NotDone(nil) != nil {
		t.Errorf("events %+v", seen.list)
	}
}

func TestErrorPolicyDecides(t *testing.T) {
	mine := errors.New("mine")
	guard, _ := newGuard(t, newStore(t), idempotency.WithErrorPolicy(func(err error) idempotency.Verdict {
		if errors.Is(err, mine) {
			return idempotency.VerdictRelease
		}
		return idempotency.VerdictRecord
	}))
	w := &worker{do: func(_ context.Context, n int) error {
		if n == 1 {
			return mine
		}
		return errors.New("yours")
	}}
	for i, replayed := range []bool{false, false, true} {
		if _, result, err := w.call(t.Context(), guard, "k"); err == nil || result.Replayed != replayed {
			t.Errorf("call %d: %+v, %v", i, result, err)
		}
	}
	w.want(t, 2)
}

func TestPanicIsRecorded(t *testing.T) {
	cause := errors.New("nil map")
	guard, seen := newGuard(t, newStore(t))
	w := &worker{do: func(context.Context, int) error { panic(cause) }}
	_, _, err := w.call(t.Context(), guard, "k")
	var panicked *idempotency.PanicError
	if !errors.As(err, &panicked) || !errors.Is(err, cause) || !strings.Contains(string(panicked.Stack), "TestPanicIsRecorded") {
		t.Fatalf("first: %v", err)
	}
	_, result, err := w.call(t.Context(), guard, "k")
	var recorded *idempotency.RecordedError
	if !errors.As(err, &recorded) || recorded.Code != 500 || strings.Contains(recorded.Detail, "nil map") || !result.Replayed {
		t.Errorf("second: %+v, %+v", err, result)
	}
	w.want(t, 1)
	if seen.count(idempotency.EventPanicked) != 1 {
		t.Errorf("events %+v", seen.list)
	}
}

func TestGoexitIsRecorded(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	w := &worker{do: func(context.Context, int) error { runtime.Goexit(); return nil }}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _, err := w.call(t.Context(), guard, "k")
		t.Errorf("Do returned %v to a goroutine that has ended", err)
	}()
	<-gone
	_, result, err := w.call(t.Context(), guard, "k")
	var recorded *idempotency.RecordedError
	if !errors.As(err, &recorded) || recorded.Code != 500 || !result.Replayed {
		t.Errorf("second: %+v, %+v", err, result)
	}
	w.want(t, 1)
	if err := guard.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestJoin(t *testing.T) {
	for _, test := range []struct {
		name      string
		processes int
		do        func(context.Context, int) error
		code      int
	}{
		{"one process", 1, nil, 0},
		{"three processes", 3, nil, 0},
		{"an error", 3, func(context.Context, int) error { return &idempotency.RecordedError{Code: 402} }, 402},
		{"a panic", 3, func(context.Context, int) error { panic("x") }, 500},
		{"an ended goroutine", 3, func(context.Context, int) error { runtime.Goexit(); return nil }, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				guards := make([]*idempotency.Guard, test.processes)
				for i := range guards {
					guards[i], _ = newGuard(t, store)
				}
				w := &worker{do: func(ctx context.Context, n int) error {
					time.Sleep(7 * time.Second)
					if test.do != nil {
						return test.do(ctx, n)
					}
					return nil
				}}
				start := time.Now()
				var group sync.WaitGroup
				for i := range 60 {
					group.Go(func() {
						reply, _, err := w.call(t.Context(), guards[i%len(guards)], "k")
						var coded interface{ StatusCode() int }
						if test.code == 0 && (err != nil || reply != "run 1") ||
							test.code != 0 && (!errors.As(err, &coded) || coded.StatusCode() != test.code) {
							t.Errorf("%q, %v", reply, err)
						}
						if took := time.Since(start); took != 7*time.Second {
							t.Errorf("answered after %v", took)
						}
					})
				}
				group.Wait()
				w.want(t, 1)
			})
		})
	}
}

func TestJoinEndsInTime(t *testing.T) {
	for _, test := range []struct {
		name     string
		options  []idempotency.Option
		deadline time.Duration
		reason   error
		code     int
		cause    error
		after    time.Duration
	}{
		{"longest wait", []idempotency.Option{idempotency.WithMaxWait(2 * time.Second)}, 0, idempotency.ErrWaitTimeout, 408, nil, 2 * time.Second},
		{"default wait", nil, 0, idempotency.ErrWaitTimeout, 408, nil, 30 * time.Second},
		{"caller's deadline", nil, 3 * time.Second, idempotency.ErrWaitTimeout, 408, context.DeadlineExceeded, 3 * time.Second},
		{"no wait", []idempotency.Option{idempotency.WithMaxWait(0)}, 0, idempotency.ErrRunning, 409, nil, 0},
	} {
		for _, where := range []string{"same process", "other process"} {
			t.Run(test.name+", "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newStore(t)
					first, _ := newGuard(t, store)
					second, err := first.With(test.options...)
					if err != nil {
						t.Fatal(err)
					}
					if where == "other process" {
						second, _ = newGuard(t, store, test.options...)
					}
					w := &worker{do: func(context.Context, int) error { time.Sleep(40 * time.Second); return nil }}
					var group sync.WaitGroup
					group.Go(func() {
						if _, _, err := w.call(t.Context(), first, "k"); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
					ctx, start := t.Context(), time.Now()
					if test.deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, test.deadline)
						defer cancel()
					}
					_, _, err = w.call(ctx, second, "k")
					wantError(t, err, test.reason, test.code, false)
					if test.cause != nil && !errors.Is(err, test.cause) {
						t.Errorf("error %v is not %v", err, test.cause)
					}
					if took := time.Since(start); took != test.after {
						t.Errorf("answered after %v, want %v", took, test.after)
					}
					group.Wait()
					if reply, _, err := w.call(t.Context(), second, "k"); err != nil || reply != "run 1" {
						t.Errorf("afterwards %q, %v", reply, err)
					}
					w.want(t, 1)
				})
			})
		}
	}
}

// A leader that only waits for another process must not take its followers
// with it when its own caller leaves.
func TestFollowersOutliveTheirLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		elsewhere, _ := newGuard(t, store)
		here, _ := newGuard(t, store)
		w := &worker{do: func(context.Context, int) error { time.Sleep(5 * time.Second); return nil }}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), elsewhere, "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		group.Go(func() {
			_, _, err := w.call(ctx, here, "k")
			wantError(t, err, idempotency.ErrWaitTimeout, 408, false)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("leader: %v", err)
			}
		})
		synctest.Wait()
		for range 5 {
			group.Go(func() {
				if reply, _, err := w.call(t.Context(), here, "k"); err != nil || reply != "run 1" {
					t.Errorf("follower: %q, %v", reply, err)
				}
			})
		}
		synctest.Wait()
		leave()
		group.Wait()
		w.want(t, 1)
	})
}

func TestExecutionOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, newStore(t))
		type mark struct{}
		w := &worker{do: func(ctx context.Context, _ int) error {
			time.Sleep(5 * time.Second)
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) != 25*time.Second {
				t.Errorf("deadline %v, %v", deadline, ok)
			}
			if ctx.Value(mark{}) != "kept" {
				t.Error("the caller's values are lost")
			}
			return ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), mark{}, "kept"), time.Second)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(ctx, guard, "k"); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Second)
		if reply, result, err := w.call(t.Context(), guard, "k"); err != nil || reply != "run 1" || !result.Replayed {
			t.Errorf("retry: %q, %+v, %v", reply, result, err)
		}
		group.Wait()
		w.want(t, 1)
	})
}

func TestExecutionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, newStore(t), idempotency.WithExecutionTimeout(3*time.Second))
		w := &worker{do: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			if context.Cause(ctx) != idempotency.ErrExecutionTimeout {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			return ctx.Err()
		}}
		start := time.Now()
		if _, _, err := w.call(t.Context(), guard, "k"); err != context.DeadlineExceeded {
			t.Errorf("first: %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		if _, result, err := w.call(t.Context(), guard, "k"); err == nil || !result.Replayed {
			t.Errorf("second: %+v, %v", result, err)
		}
		w.want(t, 1)
	})
}

func TestLeaveBeforeTheStart(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	ctx, leave := context.WithCancel(t.Context())
	leave()
	w := &worker{}
	_, _, err := w.call(ctx, guard, "k")
	wantError(t, err, idempotency.ErrCanceled, 408, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.want(t, 0)
}

func TestLateAttemptIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		frozen, _ := newGuard(t, store)
		guard, _ := newGuard(t, store, idempotency.WithReleaseMemory(time.Minute))
		w := &worker{do: func(context.Context, int) error { return idempotency.NotDone(errors.New("busy")) }}
		attempt := func(g *idempotency.Guard, n int64) error {
			call, reply := tip("k")
			call.Attempt = n
			_, _, err := w.send(t.Context(), g, call, reply)
			return err
		}
		if err := attempt(guard, 2); err == nil || err.Error() != "busy" {
			t.Fatalf("attempt 2: %v", err)
		}
		wantError(t, attempt(frozen, 1), idempotency.ErrSuperseded, 409, true)
		w.want(t, 1)
		for _, n := range []int64{2, 3} {
			if err := attempt(guard, n); err == nil || err.Error() != "busy" {
				t.Errorf("attempt %d: %v", n, err)
			}
		}
		w.want(t, 3)
		wantError(t, attempt(frozen, 2), idempotency.ErrSuperseded, 409, true)
		time.Sleep(time.Minute)
		if err := attempt(guard, 1); err == nil || err.Error() != "busy" {
			t.Errorf("after the memory: %v", err)
		}
		w.want(t, 4)
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, newStore(t), idempotency.WithRetention(10*time.Minute), idempotency.WithClockMargin(time.Minute))
		w := &worker{}
		call, reply := tip("k")
		call.Key.Issued = time.Now()
		if _, _, err := w.send(t.Context(), guard, call, reply); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if _, result, err := w.send(t.Context(), guard, call, reply); err != nil || !result.Replayed {
			t.Errorf("at the end of the retention: %+v, %v", result, err)
		}
		time.Sleep(time.Nanosecond)
		_, _, err := w.send(t.Context(), guard, call, reply)
		wantError(t, err, idempotency.ErrExpired, 412, true)

		undated, reply := tip("k") // its record is kept for the margin
		if _, result, err := w.send(t.Context(), guard, undated, reply); err != nil || !result.Replayed {
			t.Errorf("within the margin: %+v, %v", result, err)
		}
		time.Sleep(time.Minute)
		if _, result, err := w.send(t.Context(), guard, undated, reply); err != nil || result.Replayed {
			t.Errorf("after the margin: %+v, %v", result, err)
		}
		w.want(t, 2)
	})
}

// Clocks that are an hour apart must not let a key run again: for as long as
// its age is accepted by any of them, its record is kept.
func TestClocksAnHourApart(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard, _ := newGuard(t, newStore(t))
				w := &worker{}
				call, reply := tip("k")
				call.Key.Issued = time.Now().Add(off)
				if _, _, err := w.send(t.Context(), guard, call, reply); err != nil {
					t.Fatal(err)
				}
				for range 27 {
					time.Sleep(time.Hour - time.Second)
					if _, result, err := w.send(t.Context(), guard, call, reply); !errors.Is(err, idempotency.ErrExpired) && !result.Replayed {
						t.Errorf("ran again: %+v, %v", result, err)
					}
				}
				w.want(t, 1)
			})
		})
	}
}

func TestNestedCallsDeriveTheirKeys(t *testing.T) {
	guard, _ := newGuard(t, newStore(t), idempotency.WithErrorPolicy(func(error) idempotency.Verdict { return idempotency.VerdictRelease }))
	var keys []idempotency.Key
	w := &worker{do: func(ctx context.Context, _ int) error {
		if info, ok := idempotency.ExecutionFrom(ctx); !ok || info.Key.Value != "k" || info.Caller != "alice" || info.Fence < 1 {
			t.Errorf("execution %+v, %v", info, ok)
		}
		key, done, err := idempotency.CallKey(ctx, "ledger", "Book", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		done(false)
		keys = append(keys, key)
		return errors.New("again")
	}}
	ctx := idempotency.WithKey(t.Context(), "k") // as a middleware leaves it
	for range 2 {
		if _, _, err := w.call(ctx, guard, "k"); err == nil {
			t.Fatal("no error")
		}
	}
	if len(keys) != 2 || keys[0] != keys[1] || keys[0].Value == "k" || keys[0].For != "ledger/Book" {
		t.Errorf("keys %+v", keys)
	}
	if _, ok := idempotency.ExecutionFrom(t.Context()); ok {
		t.Error("an execution was found where there is none")
	}
}

func TestLargeReplyIsNotKept(t *testing.T) {
	guard, _ := newGuard(t, newStore(t), idempotency.WithMaxReply(100))
	w := &worker{}
	call, reply := tip("k")
	large := func(context.Context) error {
		w.runs.Add(1)
		reply.Value = strings.Repeat("x", 101)
		return nil
	}
	if _, err := guard.Do(t.Context(), call, large); err != nil || len(reply.Value) != 101 {
		t.Errorf("first: %v", err)
	}
	_, err := guard.Do(t.Context(), call, large)
	wantError(t, err, idempotency.ErrNoReply, 410, false)
	w.want(t, 1)
}

func TestCallWithoutReply(t *testing.T) {
	guard, _ := newGuard(t, newStore(t))
	call := idempotency.Call{Service: "bank", Endpoint: "Paid", Key: idempotency.Key{Value: "message-1"}}
	var runs int
	for i := range 2 {
		result, err := guard.Do(t.Context(), call, func(context.Context) error { runs++; return nil })
		if err != nil || result.Replayed != (i == 1) {
			t.Errorf("delivery %d: %+v, %v", i, result, err)
		}
	}
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		elsewhere, _ := newGuard(t, store)
		guard, _ := newGuard(t, store)
		w := &worker{do: func(context.Context, int) error { time.Sleep(5 * time.Second); return nil }}
		var group sync.WaitGroup
		start := func(g *idempotency.Guard, key string, want error) {
			group.Go(func() {
				if _, _, err := w.call(t.Context(), g, key); !errors.Is(err, want) {
					t.Errorf("%s: %v", key, err)
				}
			})
			synctest.Wait()
		}
		start(guard, "here", nil)
		start(guard, "here", nil)                         // a follower
		start(elsewhere, "there", nil)                    // runs in another process,
		start(guard, "there", idempotency.ErrWaitTimeout) // and is waited for here
		begun := time.Now()

		group.Go(func() {
			if err := guard.Drain(t.Context()); err != nil || time.Since(begun) != 5*time.Second {
				t.Errorf("drained after %v: %v", time.Since(begun), err)
			}
		})
		synctest.Wait()
		_, _, err := w.call(t.Context(), guard, "new")
		wantError(t, err, idempotency.ErrDraining, 503, true)
		start(guard, "here", nil) // may still join
		group.Wait()
		w.want(t, 2)
		if err := guard.Drain(t.Context()); err != nil {
			t.Errorf("drained twice: %v", err)
		}
	})
}

// What a duplicate has seen running elsewhere goes on when this process stops.
func TestDrainBetweenTwoLooks(t *testing.T) {
	store := newStore(t)
	call, _ := tip("k")
	scope := idempotency.Scope{Service: call.Service, Endpoint: call.Endpoint, Caller: call.Caller, Key: "k"}
	claim := idempotency.Claim{Key: scope.StoreKey(), Owner: idempotency.Owner{1}, Lease: time.Hour, Retention: time.Hour}
	if out, err := store.Begin(t.Context(), claim); err != nil || out.State != idempotency.Acquired {
		t.Fatalf("outcome %v, %v", out.State, err)
	}
	var guard *idempotency.Guard
	guard, _ = newGuard(t, drainingWatch{store, func() {
		if err := guard.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}})
	w := &worker{}
	_, _, err := w.call(t.Context(), guard, "k")
	wantError(t, err, idempotency.ErrWaitTimeout, 408, false)
	w.want(t, 0)
}

// drainingWatch drains when somebody begins to watch.
type drainingWatch struct {
	idempotency.Store
	drain func()
}

func (s drainingWatch) Watch(context.Context, idempotency.StoreKey) (<-chan struct{}, func(), error) {
	s.drain()
	return make(chan struct{}), func() {}, nil
}

func TestDrainGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, _ := newGuard(t, newStore(t))
		w := &worker{do: func(context.Context, int) error { time.Sleep(5 * time.Second); return nil }}
		var group sync.WaitGroup
		group.Go(func() {
			if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := guard.Drain(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 executions") {
			t.Errorf("drain: %v", err)
		}
		group.Wait()
		if err := guard.Drain(t.Context()); err != nil {
			t.Errorf("drain, when all has ended: %v", err)
		}
	})
}

func TestOptions(t *testing.T) {
	store := newStore(t)
	for _, test := range []struct {
		option idempotency.Option
		want   string
	}{
		{nil, "option 0 is nil"},
		{idempotency.WithLease(0), "WithLease(0s): must be at least 1ms"},
		{idempotency.WithMaxWait(-1), "WithMaxWait(-1ns): must be at least 0s"},
		{idempotency.WithExecutionTimeout(0), "WithExecutionTimeout(0s): must be at least 1ns"},
		{idempotency.WithRetention(-time.Hour), "WithRetention(-1h0m0s)"},
		{idempotency.WithRetention(29 * time.Second), "WithRetention(29s): must be at least the execution timeout, which is 30s"},
		{idempotency.WithInstance(""), `WithInstance(""): must have 1 to 255 bytes`},
		{idempotency.WithExecutionTimeout(24*time.Hour + 1), "WithRetention(24h0m0s): must be at least the execution timeout"},
		{idempotency.WithClockMargin(-time.Hour), "WithClockMargin(-1h0m0s)"},
		{idempotency.WithReleaseMemory(-1), "WithReleaseMemory(-1ns)"},
		{idempotency.WithStoreTimeout(0), "WithStoreTimeout(0s)"},
		{idempotency.WithPollInterval(0), "WithPollInterval(0s)"},
		{idempotency.WithClockMargin(-1), "WithClockMargin(-1ns): must be at least 0s"},
		{idempotency.WithLease(math.MaxInt64), "and at most 438000h0m0s"},
		{idempotency.WithMaxWait(math.MaxInt64), "WithMaxWait("},
		{idempotency.WithExecutionTimeout(math.MaxInt64), "WithExecutionTimeout("},
		{idempotency.WithRetention(math.MaxInt64), "WithRetention("},
		{idempotency.WithMaxReply(0), "WithMaxReply(0): must be at least 1"},
		{idempotency.WithStoreFailure(7), "WithStoreFailure(7): must be FailClosed or FailOpen"},
		{idempotency.WithTakeover(idempotency.TakeoverRecover(nil)), "TakeoverRecover(nil)"},
		{idempotency.WithErrorPolicy(nil), "WithErrorPolicy(nil)"},
		{idempotency.WithErrorEncoder(nil), "WithErrorEncoder(nil)"},
		{idempotency.WithHook(nil), "WithHook(nil)"},
	} {
		t.Run(test.want, func(t *testing.T) {
			if _, err := idempotency.New(store, test.option); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New: %v", err)
			}
			guard, _ := newGuard(t, store)
			if _, err := guard.With(test.option); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("With: %v", err)
			}
		})
	}
	if _, err := idempotency.New(nil); err == nil {
		t.Error("New(nil): no error")
	}
}
