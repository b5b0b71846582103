package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// What needs somebody's attention is logged with all that it takes to find it, and
// nothing else is logged.
func TestDefaultLog(t *testing.T) {
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })

	guard, err := idempotency.New(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{}
	for range 2 {
		if _, _, err := w.call(t.Context(), guard, "quiet"); err != nil {
			t.Fatal(err)
		}
	}
	if text.Len() != 0 {
		t.Errorf("logged %s", &text)
	}

	lost := script(storetest.OpComplete, storetest.Fault{Before: idempotency.ErrLost})
	if guard, err = idempotency.New(storetest.Faulty(newStore(t), lost)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.call(t.Context(), guard, "loud"); !errors.Is(err, idempotency.ErrLeaseLost) {
		t.Fatal(err)
	}
	for _, want := range []string{"lease lost", "service=bank", "key=loud", "owner=", "store_key=", "fence=1", "record_bytes="} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &text)
		}
	}
}

// TestWhatCannotBeKeptIsExecuted, and one warning for each type says what to change.
func TestWhatCannotBeKeptIsExecuted(t *testing.T) {
	var text strings.Builder
	guard, _ := newGuard(t, newStore(t), logTo(&text))
	secret := &struct{ X any }{struct{ Word string }{"sesame"}}
	for name, tt := range map[string]struct {
		change func(*idempotency.Call)
		second error // what a duplicate is answered
		warned string
	}{
		"reply": {func(c *idempotency.Call) { c.Reply = secret }, idempotency.ErrNoReply, "410"},
		"body":  {func(c *idempotency.Call) { c.Body = func() {} }, nil, "cannot be told from one another"},
	} {
		t.Run(name, func(t *testing.T) {
			text.Reset()
			runs := 0
			for _, key := range []string{name + "-1", name + "-2"} {
				call, _ := tip(key)
				tt.change(&call)
				handle := func(context.Context) error { runs++; return nil }
				if _, err := guard.Do(t.Context(), call, handle); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if _, err := guard.Do(t.Context(), call, handle); !errors.Is(err, tt.second) {
					t.Errorf("duplicate of %s: error %v, want %v", key, err, tt.second)
				}
			}
			if runs != 2 {
				t.Errorf("%d executions of two keys", runs)
			}
			if n := strings.Count(text.String(), tt.warned); n != 1 || !strings.Contains(text.String(), "endpoint=Wallet.Tip") {
				t.Errorf("%d warnings, want 1: %s", n, &text)
			}
			if strings.Contains(text.String(), "sesame") {
				t.Errorf("the payload is in the log: %s", &text)
			}
		})
	}
}

// script makes the operations of a kind fail with one fault.
func script(op storetest.Op, fault storetest.Fault) storetest.Inject {
	return func(_ context.Context, got storetest.Op) storetest.Fault {
		if got == op {
			return fault
		}
		return storetest.Fault{}
	}
}

func TestNames(t *testing.T) {
	names := map[string]bool{}
	for kind := idempotency.EventExecuted; kind <= idempotency.EventStoreOperation; kind++ {
		names["event "+kind.String()] = true
	}
	for state := idempotency.Acquired; state <= idempotency.Absent; state++ {
		names["state "+state.String()] = true
	}
	if len(names) != 19+7 {
		t.Errorf("names %v", names)
	}
	if got := idempotency.State(0).String() + idempotency.EventKind(99).String(); got != "State(0)EventKind(99)" {
		t.Errorf("unknown values are called %q", got)
	}
	key := idempotency.Scope{Key: "k"}.StoreKey()
	if len(key.String()) != 64 || len(idempotency.Owner{}.String()) != 32 || len(idempotency.Fingerprint{}.String()) != 66 {
		t.Error("a fixed width is not fixed")
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("cause")
	if idempotency.NotApplied(nil) != nil || idempotency.NotApplied(cause).Error() != "cause" {
		t.Error("NotApplied changes the text")
	}
	if err := idempotency.NotDone(cause); err.Error() != "cause" || !errors.Is(err, cause) {
		t.Error("NotDone changes the error")
	}
	exited := &idempotency.PanicError{}
	if exited.Unwrap() != nil || exited.StatusCode() != 500 || !strings.Contains(exited.Error(), "goroutine") {
		t.Errorf("%v", exited)
	}
	if got := (&idempotency.PanicError{Value: "x"}).Error(); !strings.HasSuffix(got, "panicked: x") {
		t.Errorf("%q", got)
	}
}
