package idempotency

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func printOf(body string) func() (Fingerprint, error) {
	return func() (Fingerprint, error) { return FingerprintOf(body) }
}

func mustCallKey(ctx context.Context, t *testing.T, endpoint, body string) (Key, func(bool)) {
	t.Helper()
	key, done, err := CallKey(ctx, "bank", endpoint, printOf(body), nil)
	if err != nil {
		t.Fatalf("CallKey: %v", err)
	}
	return key, done
}

func TestCallKeyMints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, done := mustCallKey(t.Context(), t, "Wallet.Tip", "x")
		done(false)
		b, _ := mustCallKey(t.Context(), t, "Wallet.Tip", "x")
		if a.Value == b.Value || len(a.Value) != 36 {
			t.Errorf("minted %q and %q", a.Value, b.Value)
		}
		if a.For != "bank/Wallet.Tip" || !a.Issued.Equal(time.Now()) {
			t.Errorf("key %+v", a)
		}
	})
}

func TestCallKeyGenerator(t *testing.T) {
	broken := errors.New("no entropy")
	for _, test := range []struct {
		name  string
		gen   Generator
		want  string
		cause error
	}{
		{name: "own", gen: func() (string, error) { return "mine", nil }, want: "mine"},
		{name: "fails", gen: func() (string, error) { return "", broken }, cause: broken},
		{name: "malformed", gen: func() (string, error) { return "no good", nil }, cause: ErrInvalidKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, done, err := CallKey(t.Context(), "bank", "Wallet.Tip", nil, test.gen)
			if key.Value != test.want || !errors.Is(err, test.cause) || done == nil {
				t.Errorf("key %+v, error %v", key, err)
			}
		})
	}
}

func TestCallKeyCallersOwn(t *testing.T) {
	issued := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx := WithIssued(WithKey(t.Context(), `"mine"`), issued)
	for range 2 { // the caller's own key may be used as often as the caller likes
		key, done := mustCallKey(ctx, t, "Wallet.Tip", "x")
		done(false)
		if want := (Key{Value: "mine", For: "bank/Wallet.Tip", Issued: issued}); key != want {
			t.Errorf("key %+v, want %+v", key, want)
		}
	}
	if _, _, err := CallKey(WithKey(ctx, ""), "bank", "Wallet.Tip", nil, nil); !errors.Is(err, ErrInvalidKey) {
		t.Errorf("empty key: %v", err)
	}
	if key, ok := KeyFrom(ctx); !ok || key.Value != `"mine"` || !key.Issued.Equal(issued) {
		t.Errorf("KeyFrom: %+v, %v", key, ok)
	}
	if _, ok := KeyFrom(t.Context()); ok {
		t.Error("KeyFrom finds a key in an empty context")
	}
}

func TestCallKeyDerives(t *testing.T) {
	parent := Key{Value: "p", For: "shop/Order.Place", Issued: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	derive := func(parent Key, caller, endpoint, step string) Key {
		ctx := WithExecution(WithKey(t.Context(), "hidden"), parent, caller)
		key, done := mustCallKey(WithStep(ctx, step), t, endpoint, "x")
		done(false)
		return key
	}
	first := derive(parent, "alice", "Wallet.Tip", "")
	if again := derive(parent, "alice", "Wallet.Tip", ""); again != first {
		t.Errorf("a second run derives %+v, the first %+v", again, first)
	}
	if first.Issued != parent.Issued || first.For != "bank/Wallet.Tip" {
		t.Errorf("derived %+v", first)
	}
	if _, err := ParseKey(first.Value); err != nil {
		t.Errorf("derived key: %v", err)
	}
	otherValue, otherFor := parent, parent
	otherValue.Value, otherFor.For = "q", "shop/Order.Cancel"
	seen := map[string]string{first.Value: "first"}
	for name, key := range map[string]Key{
		"parent key":  derive(otherValue, "alice", "Wallet.Tip", ""),
		"parent call": derive(otherFor, "alice", "Wallet.Tip", ""),
		"caller":      derive(parent, "bob", "Wallet.Tip", ""),
		"endpoint":    derive(parent, "alice", "Wallet.Take", ""),
		"step":        derive(parent, "alice", "Wallet.Tip", "2"),
	} {
		if other, ok := seen[key.Value]; ok {
			t.Errorf("another %s gives the key of %s", name, other)
		}
		seen[key.Value] = name
	}
}

func TestCallKeyWithinExecution(t *testing.T) {
	type call struct {
		step, body      string
		ambiguous, fail bool // how this call ends; whether its key is refused
		sameAs          int  // index of the call whose key it shares, or -1
	}
	for _, test := range []struct {
		name  string
		calls []call
	}{
		{"second call without a step", []call{{body: "x", sameAs: -1}, {body: "x", fail: true}}},
		{"second call with another body", []call{{body: "x", sameAs: -1}, {body: "y", fail: true}}},
		{"steps", []call{{body: "x", sameAs: -1}, {step: "2", body: "x", sameAs: -1}, {step: "2", body: "x", fail: true}}},
		{"retry after an ambiguous end", []call{{body: "x", ambiguous: true, sameAs: -1}, {body: "x", sameAs: 0}, {body: "x", fail: true}}},
		{"retried twice", []call{{body: "x", ambiguous: true, sameAs: -1}, {body: "x", ambiguous: true, sameAs: 0}, {body: "x", sameAs: 0}}},
		{"ambiguous end, other body", []call{{body: "x", ambiguous: true, sameAs: -1}, {body: "y", fail: true}, {body: "x", sameAs: 0}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := WithExecution(t.Context(), Key{Value: "p"}, "")
			keys := make([]string, len(test.calls))
			for i, c := range test.calls {
				key, done, err := CallKey(WithStep(ctx, c.step), "bank", "Wallet.Tip", printOf(c.body), nil)
				if c.fail {
					var step *StepError
					if !errors.Is(err, ErrStepNeeded) || !errors.As(err, &step) || step.StatusCode() != 500 {
						t.Fatalf("call %d: error %v", i, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
				done(c.ambiguous)
				keys[i] = key.Value
				if c.sameAs >= 0 && keys[i] != keys[c.sameAs] {
					t.Errorf("call %d is not a retry of call %d", i, c.sameAs)
				}
			}
		})
	}
}

func TestCallKeyWithoutFingerprint(t *testing.T) {
	broken := errors.New("cannot be read twice")
	ctx := WithExecution(t.Context(), Key{Value: "p"}, "")
	fail := func() (Fingerprint, error) { return Fingerprint{}, broken }
	_, done, err := CallKey(ctx, "bank", "Wallet.Tip", fail, nil)
	if err != nil {
		t.Fatal(err)
	}
	done(true)
	_, _, err = CallKey(ctx, "bank", "Wallet.Tip", fail, nil)
	if !errors.Is(err, ErrStepNeeded) || !errors.Is(err, broken) || !strings.Contains(err.Error(), "cannot be read twice") {
		t.Errorf("error %v", err)
	}
}

func TestCallKeyConcurrentSecondCalls(t *testing.T) {
	ctx := WithExecution(t.Context(), Key{Value: "p"}, "")
	var granted atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, _, err := CallKey(ctx, "bank", "Wallet.Tip", printOf("x"), nil); err == nil {
				granted.Add(1)
			} else if !errors.Is(err, ErrStepNeeded) {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	group.Wait()
	if granted.Load() != 1 {
		t.Errorf("%d calls were granted, want 1", granted.Load())
	}
}

func BenchmarkCallKey(b *testing.B) {
	b.Run("own", func(b *testing.B) {
		ctx := WithKey(b.Context(), "mine")
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := CallKey(ctx, "bank", "Wallet.Tip", nil, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("minted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := CallKey(b.Context(), "bank", "Wallet.Tip", nil, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
