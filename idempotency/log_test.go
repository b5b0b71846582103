package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
	"github.com/oncemore-dev/oncemore/internal/logtest"
)

// logTo makes a guard log to w, which is written to by one goroutine at a time.
func logTo(w io.Writer) idempotency.Option {
	return idempotency.WithLogger(slog.New(slog.NewTextHandler(w, nil)))
}

// cutRenewals returns a store in which no claim can be renewed.
func cutRenewals(store idempotency.Store) idempotency.Store {
	return storetest.Faulty(store, script(storetest.OpRenew, storetest.Fault{Before: errCut}))
}

// TestWhatIsLogged provokes each thing that somebody must know, with the default
// settings.
func TestWhatIsLogged(t *testing.T) {
	cut := storetest.Fault{Before: errCut}
	orphaned := func(t *testing.T, store idempotency.Store) { orphan(t, store) }
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, store idempotency.Store)
		wrap    func(idempotency.Store) idempotency.Store
		options []idempotency.Option
		do      func(ctx context.Context) error
		want    []string
	}{
		{
			name: "store down", wrap: func(s idempotency.Store) idempotency.Store {
				return storetest.Faulty(s, script(storetest.OpBegin, cut))
			},
			want: []string{"level=ERROR", "the store failed", "claim: connection cut"},
		},
		{
			name: "store down, open", wrap: func(s idempotency.Store) idempotency.Store {
				return storetest.Faulty(s, script(storetest.OpBegin, cut))
			},
			options: []idempotency.Option{idempotency.WithStoreFailure(idempotency.FailOpen)},
			want:    []string{"level=WARN", "executed without a claim", "connection cut"},
		},
		{
			name: "release fails", wrap: func(s idempotency.Store) idempotency.Store {
				return storetest.Faulty(s, script(storetest.OpRelease, cut))
			},
			do:   func(context.Context) error { return idempotency.NotDone(errors.New("busy")) },
			want: []string{"level=ERROR", "the store failed", "release: connection cut"},
		},
		{
			name: "completion fails", wrap: func(s idempotency.Store) idempotency.Store {
				return storetest.Faulty(s, script(storetest.OpComplete, cut))
			},
			want: []string{"the store failed", "complete: connection cut", "could not be stored; resolve its key", "record_bytes="},
		},
		{
			name: "outcome unknown", prepare: orphaned,
			want: []string{"level=ERROR", "whose outcome is unknown; resolve its key"},
		},
		{
			name: "taken over", prepare: orphaned,
			options: []idempotency.Option{idempotency.WithTakeover(idempotency.TakeoverRerun())},
			want:    []string{"level=WARN", "an orphan was taken over", "fence=2"},
		},
		{
			name: "record damaged", prepare: func(t *testing.T, store idempotency.Store) {
				out, err := store.Begin(t.Context(), orphanClaim())
				if err != nil || out.Execution.Complete(t.Context(), []byte("damaged")) != nil {
					t.Fatalf("%v, %v", out.State, err)
				}
			},
			want: []string{"level=ERROR", "a record is damaged"},
		},
		{
			name: "lease lost", wrap: cutRenewals,
			do:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			want: []string{"level=ERROR", "lost its lease", "renew: connection cut"},
		},
		{
			name: "panic", do: func(context.Context) error { panic("storm") },
			want: []string{"level=ERROR", "the handler panicked", "storm", "stack=", "TestWhatIsLogged"},
		},
		{
			name: "commit unknown", wrap: func(s idempotency.Store) idempotency.Store {
				var begins atomic.Int32
				return transactional{storetest.Faulty(s, func(_ context.Context, op storetest.Op) storetest.Fault {
					if op == storetest.OpComplete || op == storetest.OpBegin && begins.Add(1) > 1 {
						return cut
					}
					return storetest.Fault{}
				})}
			},
			want: []string{"commit: connection cut", "outcome of a commit is not known"},
		},
		{
			name: "rolled back", wrap: func(s idempotency.Store) idempotency.Store {
				lost := storetest.Fault{Before: idempotency.Repeatable(errCut)}
				return transactional{storetest.Faulty(s, script(storetest.OpComplete, lost))}
			},
			want: []string{"level=WARN", "rolled back; the caller may repeat it", "connection cut"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text logtest.Text
				before := slog.Default()
				slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
				defer slog.SetDefault(before)

				var store idempotency.Store = newStore(t)
				if test.prepare != nil {
					test.prepare(t, store)
				}
				if test.wrap != nil {
					store = test.wrap(store)
				}
				guard, err := idempotency.New(store, test.options...)
				if err != nil {
					t.Fatal(err)
				}
				call, _ := tip("k")
				do := test.do
				if do == nil {
					do = func(context.Context) error { return nil }
				}
				_, _ = guard.Do(t.Context(), call, do) // what it is answered is not the question here
				time.Sleep(time.Minute)                // for what is told to the store later
				for _, want := range append(test.want, "service=bank", "endpoint=Wallet.Tip", "key=k", "store_key=", "instance=") {
					if !strings.Contains(text.String(), want) {
						t.Errorf("the log lacks %q:\n%s", want, &text)
					}
				}
			})
		})
	}
}

// TestReplyIsNeverLogged, nor what an execution that could not be stored answered.
func TestReplyIsNeverLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text logtest.Text
		faulty := storetest.Faulty(newStore(t), script(storetest.OpComplete, storetest.Fault{Before: errCut}))
		guard, seen := newGuard(t, faulty, logTo(&text))
		call, reply := tip("k")
		if _, err := guard.Do(t.Context(), call, func(context.Context) error {
			reply.Value = "PAN4111111111111111"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := seen.count(idempotency.EventUnresolved); n != 1 {
			t.Fatalf("%d unresolved, want 1", n)
		}
		for _, secret := range []string{"4111", "UEFONDExMTExMTExMTExMTExMTE"} { // and in base64
			if strings.Contains(text.String(), secret) {
				t.Errorf("the log has the reply: %s", &text)
			}
		}
		record := seen.list[len(seen.list)-1].Record
		if decoded, err := idempotency.DecodeRecord(record); err != nil || !strings.Contains(string(decoded.Body), "4111") {
			t.Errorf("the hook has the record %q, %v", record, err)
		}
		if want := fmt.Sprintf("record_bytes=%d", len(record)); !strings.Contains(text.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &text)
		}
	})
}

// TestHashesOnly: who wants nobody to know the key does not find it in the log.
func TestHashesOnly(t *testing.T) {
	var text strings.Builder
	store := newStore(t)
	guard, _ := newGuard(t, store, logTo(&text), idempotency.WithHashesOnly())
	call, _ := tip("secret-key")
	_, err := guard.Do(t.Context(), call, func(context.Context) error { panic("storm") })
	if _, ok := errors.AsType[*idempotency.PanicError](err); !ok {
		t.Fatal(err)
	}
	if text.Len() == 0 || strings.Contains(text.String(), "secret-key") || strings.Contains(text.String(), "alice") {
		t.Errorf("the log says %q", &text)
	}
	scope := idempotency.Scope{Service: "bank", Endpoint: "Wallet.Tip", Caller: "alice", Key: "secret-key"}
	kept, err := store.Lookup(t.Context(), scope.StoreKey())
	if err != nil || kept.State != idempotency.Done || kept.Scope != (idempotency.Scope{}) {
		t.Errorf("the store keeps %+v, %v", kept, err)
	}
	if found, err := guard.Lookup(t.Context(), scope); err != nil || found.State != idempotency.Done || found.Scope != scope {
		t.Errorf("whoever knows the scope finds %+v, %v", found, err)
	}
}

// TestOutageDoesNotFillTheLog, and none of its lines is lost without a trace.
func TestOutageDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		guard, seen := newGuard(t, fails{newStore(t), idempotency.NotApplied(errCut)}, logTo(&text))
		refuse := func(calls int) {
			for i := range calls {
				call, _ := tip(fmt.Sprintf("k%d", i))
				if _, err := guard.Do(t.Context(), call, nil); !errors.Is(err, idempotency.ErrUnavailable) {
					t.Fatal(err)
				}
			}
		}
		refuse(1000)
		if n := strings.Count(text.String(), "\n"); n != 10 {
			t.Errorf("%d lines for 1000 refusals, want 10", n)
		}
		time.Sleep(10 * time.Second)
		text.Reset()
		refuse(2)
		if n := strings.Count(text.String(), "\n"); n != 2 {
			t.Errorf("%d lines for 2 refusals ten seconds later, want 2", n)
		}
		if n := strings.Count(text.String(), "left_out=990"); n != 1 {
			t.Errorf("990 lines were left out, and that is said %d times: %s", n, &text)
		}
		if n := seen.count(idempotency.EventRefused); n != 1002 {
			t.Errorf("the hook saw %d refusals, want 1002", n)
		}
	})
}

// TestEveryStuckKeyIsLogged: what is one line for each execution is not an outage's
// repetition.
func TestEveryStuckKeyIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text logtest.Text
		faulty := storetest.Faulty(newStore(t), script(storetest.OpComplete, storetest.Fault{Before: errCut}))
		guard, _ := newGuard(t, faulty, logTo(&text))
		for i := range 100 {
			call, _ := tip(fmt.Sprintf("k%d", i))
			if _, err := guard.Do(t.Context(), call, func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := strings.Count(text.String(), "end of an execution could not be stored"); n != 100 {
			t.Errorf("%d of 100 stuck keys are logged", n)
		}
	})
}

// TestHooksAdd to the log and to one another, and one that panics takes nothing
// from anybody.
func TestHooksAdd(t *testing.T) {
	var text strings.Builder
	seen := map[string]int{}
	hook := func(name string) idempotency.Option {
		return idempotency.WithHook(func(context.Context, idempotency.Event) { seen[name]++ })
	}
	guard, err := idempotency.New(newStore(t), logTo(&text), hook("first"),
		idempotency.WithHook(func(context.Context, idempotency.Event) { panic("in the hook") }), hook("second"))
	if err != nil {
		t.Fatal(err)
	}
	left, err := guard.With(hook("left"))
	if err != nil {
		t.Fatal(err)
	}
	right, err := guard.With(hook("right"))
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{do: func(context.Context, int) error { panic("storm") }}
	for i, g := range []*idempotency.Guard{guard, left, right} {
		if _, _, err := w.call(t.Context(), g, fmt.Sprintf("k%d", i)); err == nil {
			t.Error("no error of a handler that panicked")
		}
	}
	// Each call has five events: the store was asked twice, the key was claimed, the
	// handler panicked, and that was recorded.
	for name, want := range map[string]int{"first": 15, "second": 15, "left": 5, "right": 5} {
		if seen[name] != want {
			t.Errorf("hook %q saw %d events, want %d", name, seen[name], want)
		}
	}
	for what, want := range map[string]int{
		`msg="idempotency: the handler panicked"`: 3, `msg="idempotency: a hook panicked"`: 10, "in the hook": 10,
	} {
		if n := strings.Count(text.String(), what); n != want {
			t.Errorf("%q is logged %d times, want %d", what, n, want)
		}
	}
}

func TestNilLoggerIsSilent(t *testing.T) {
	var text strings.Builder
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	guard, seen := newGuard(t, newStore(t), idempotency.WithLogger(nil))
	w := &worker{do: func(context.Context, int) error { panic("storm") }}
	call, reply := tip("k")
	if _, _, err := w.send(t.Context(), guard, call, reply); err == nil {
		t.Error("no error of a handler that panicked")
	}
	if n := seen.count(idempotency.EventPanicked); n != 1 {
		t.Errorf("%d panics were seen, want 1", n)
	}
	if text.Len() != 0 {
		t.Errorf("logged %q", &text)
	}
}
