package idempotency_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// tipScope is what tip("k") belongs to.
var tipScope = idempotency.Scope{Service: "bank", Endpoint: "Wallet.Tip", Caller: "alice", Key: "k"}

func lookup(t *testing.T, g *idempotency.Guard, want idempotency.State) idempotency.Entry {
	t.Helper()
	e, err := g.Lookup(t.Context(), tipScope)
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	if e.State != want {
		t.Fatalf("the key is %v, want %v", e.State, want)
	}
	return e
}

// TestStuckKeyIsResolved in each way, and its duplicates are answered so.
func TestStuckKeyIsResolved(t *testing.T) {
	poor := &idempotency.RecordedError{ID: "bank", Code: 402, Detail: "not enough"}
	for _, test := range []struct {
		name  string
		found idempotency.Finding
		kind  idempotency.EventKind
		reply string
		err   error // of the duplicate
		runs  int32
	}{
		{"done", idempotency.DoneWith(wrapperspb.String("receipt 7")), idempotency.EventResolved, "receipt 7", nil, 0},
		{"done without a reply", idempotency.DoneWithoutReply("seen in the ledger"),
			idempotency.EventResolved, "", idempotency.ErrNoReply, 0},
		{"declined", idempotency.DoneWithRecord(idempotency.Record{Content: idempotency.ContentError, Err: poor}),
			idempotency.EventResolved, "", poor, 0},
		{"not executed", idempotency.NotExecuted(), idempotency.EventForgotten, "run 1", nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				orphan(t, store)
				guard, seen := newGuard(t, store)
				w := &worker{}
				_, _, err := w.call(t.Context(), guard, "k")
				wantError(t, err, idempotency.ErrOutcomeUnknown, 409, false)
				stuck := lookup(t, guard, idempotency.Orphaned)
				if stuck.Instance != "dead:1" || stuck.Scope != tipScope {
					t.Errorf("the entry is of instance %q and scope %+v", stuck.Instance, stuck.Scope)
				}
				if err := guard.Resolve(t.Context(), stuck, test.found); err != nil {
					t.Fatalf("resolve: %v", err)
				}
				reply, _, err := w.call(t.Context(), guard, "k")
				if reply != test.reply || !sameError(err, test.err) {
					t.Errorf("then %q, %v; want %q, %v", reply, err, test.reply, test.err)
				}
				w.want(t, int(test.runs))
				if n := seen.count(test.kind); n != 1 {
					t.Errorf("%d events, want 1: %+v", n, seen.list)
				}
				if err := guard.Resolve(t.Context(), stuck, test.found); !errors.Is(err, idempotency.ErrChanged) {
					t.Errorf("resolved again: %v, want ErrChanged", err)
				}
			})
		})
	}
}

// sameError reports whether err is want, or a recorded error equal to it.
func sameError(err, want error) bool {
	var got, expected *idempotency.RecordedError
	if errors.As(want, &expected) {
		return errors.As(err, &got) && *got == *expected
	}
	return errors.Is(err, want)
}

// TestResolveShutsTheExecutionOut: by force, while it runs. Its duplicates, which
// wait for it, get what was resolved.
func TestResolveShutsTheExecutionOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		here, _ := newGuard(t, store)
		operator, seen := newGuard(t, store)
		w := &worker{do: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, idempotency.ErrLeaseLost) {
				t.Errorf("its context ended with %v, want ErrLeaseLost", cause)
			}
			return nil
		}}
		var group sync.WaitGroup
		group.Go(func() {
			_, _, err := w.call(t.Context(), here, "k")
			wantError(t, err, idempotency.ErrLeaseLost, 409, false)
		})
		synctest.Wait()
		waiting := &worker{}
		group.Go(func() {
			if reply, _, err := waiting.call(t.Context(), operator, "k"); err != nil || reply != "receipt 7" {
				t.Errorf("the duplicate got %q, %v", reply, err)
			}
		})
		synctest.Wait()
		running := lookup(t, operator, idempotency.Running)
		done := idempotency.DoneWith(wrapperspb.String("receipt 7"))
		if err := operator.Resolve(t.Context(), running, done); !errors.Is(err, idempotency.ErrLive) {
			t.Errorf("resolved without force: %v, want ErrLive", err)
		}
		if err := operator.Forget(t.Context(), running); !errors.Is(err, idempotency.ErrLive) {
			t.Errorf("forgotten: %v, want ErrLive", err)
		}
		if err := operator.Resolve(t.Context(), running, done.Forced()); err != nil {
			t.Fatalf("resolve by force: %v", err)
		}
		group.Wait()
		w.want(t, 1)
		waiting.want(t, 0)
		if n := seen.count(idempotency.EventResolved); n != 2 {
			t.Errorf("%d resolutions were reported, want the refused one and the forced one", n)
		}
	})
}

func TestForgetMakesADuplicateRun(t *testing.T) {
	guard, seen := newGuard(t, newStore(t))
	w := &worker{}
	for i, want := range []string{"run 1", "run 2"} {
		if reply, _, err := w.call(t.Context(), guard, "k"); err != nil || reply != want {
			t.Errorf("call %d: %q, %v; want %q", i+1, reply, err, want)
		}
		if err := guard.Forget(t.Context(), lookup(t, guard, idempotency.Done)); err != nil {
			t.Errorf("forget: %v", err)
		}
		lookup(t, guard, idempotency.Released)
	}
	if n := seen.count(idempotency.EventForgotten); n != 2 {
		t.Errorf("%d forgotten, want 2", n)
	}
	if n := seen.count(idempotency.EventLookedUp); n != 4 {
		t.Errorf("%d looked up, want 4", n)
	}
}

// TestWhatBecameOfAKey is what a service answers a caller who asks.
func TestWhatBecameOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		guard, _ := newGuard(t, store)
		absent := lookup(t, guard, idempotency.Absent)
		wantError(t, absent.Replay(nil), idempotency.ErrNotExecuted, 404, true)

		claim := orphanClaim()
		out, err := store.Begin(t.Context(), claim)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, lookup(t, guard, idempotency.Running).Replay(nil), idempotency.ErrRunning, 409, false)
		time.Sleep(2 * time.Second)
		wantError(t, lookup(t, guard, idempotency.Orphaned).Replay(nil), idempotency.ErrOutcomeUnknown, 409, false)
		if err := out.Execution.Release(t.Context()); err != nil {
			t.Fatal(err)
		}

		w := &worker{}
		if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
			t.Fatal(err)
		}
		reply := &wrapperspb.StringValue{}
		done := lookup(t, guard, idempotency.Done)
		if err := done.Replay(reply); err != nil || reply.GetValue() != "run 1" {
			t.Errorf("done: %q, %v", reply.GetValue(), err)
		}
		done.Record = []byte("damaged")
		wantError(t, done.Replay(reply), idempotency.ErrCorrupt, 500, false)
	})
}

func TestBadFindings(t *testing.T) {
	store := newStore(t)
	guard, _ := newGuard(t, store, idempotency.WithMaxReply(100))
	w := &worker{}
	if _, _, err := w.call(t.Context(), guard, "k"); err != nil {
		t.Fatal(err)
	}
	done := lookup(t, guard, idempotency.Done)
	for want, found := range map[string]idempotency.Finding{
		"must be made by DoneWith":          {},
		"the reply cannot be kept":          idempotency.DoneWith(wrapperspb.String(strings.Repeat("x", 101))),
		"content 0 is unknown":              idempotency.DoneWithRecord(idempotency.Record{}),
		"the record of an error has none":   idempotency.DoneWithRecord(idempotency.Record{Content: idempotency.ContentError}),
		"its encoding panicked: its author": idempotency.DoneWith(&unencodable{}),
	} {
		if err := guard.Resolve(t.Context(), done, found); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := guard.Lookup(t.Context(), idempotency.Scope{Service: "bank", Key: "a b"}); !errors.Is(err, idempotency.ErrInvalidKey) {
		t.Errorf("malformed key: %v", err)
	}
	lookup(t, guard, idempotency.Done)
}

type unencodable struct{}

func (*unencodable) MarshalJSON() ([]byte, error) { panic("its author") }

// TestStoreWithoutOperators: whoever brings a store of an older make is told so.
func TestStoreWithoutOperators(t *testing.T) {
	guard, _ := newGuard(t, struct{ idempotency.Store }{newStore(t)})
	if _, err := guard.Lookup(t.Context(), tipScope); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("lookup: %v", err)
	}
	if err := guard.Forget(t.Context(), idempotency.Entry{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("forget: %v", err)
	}
	if err := guard.Resolve(t.Context(), idempotency.Entry{}, idempotency.NotExecuted()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("resolve: %v", err)
	}
}

// TestResolutionIsAskedAgain when its answer is lost, and counts once.
func TestResolutionIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &forgetful{Store: newStore(t)}
		orphan(t, store)
		guard, seen := newGuard(t, store)
		stuck := lookup(t, guard, idempotency.Orphaned)
		if err := guard.Resolve(t.Context(), stuck, idempotency.DoneWithoutReply("seen")); err != nil {
			t.Errorf("resolve: %v", err)
		}
		if store.asked != 2 || seen.count(idempotency.EventResolved) != 1 {
			t.Errorf("asked %d times, %d events; want 2 and 1", store.asked, seen.count(idempotency.EventResolved))
		}
		lookup(t, guard, idempotency.Done)
	})
}

// forgetful is a store whose first answer to Resolve is lost.
type forgetful struct {
	*memstore.Store
	asked int
}

func (f *forgetful) Resolve(ctx context.Context, r idempotency.Resolution) error {
	err := f.Store.Resolve(ctx, r)
	if f.asked++; f.asked == 1 {
		return errors.Join(errCut, err)
	}
	return err
}
