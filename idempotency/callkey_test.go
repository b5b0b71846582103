package idempotency

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	for _, endpoint := range []string{"Wallet.Tip", "Wallet.Take"} {
		key, done := mustCallKey(ctx, t, endpoint, "x")
		done(false)
		if want := (Key{Value: "mine", For: "bank/" + endpoint, Issued: issued}); key != want {
			t.Errorf("key %+v, want %+v", key, want)
		}
	}
	second, _ := mustCallKey(ctx, t, "Wallet.Tip", "x")
	if second.Value == "mine" || second.Issued != issued || second.For != "bank/Wallet.Tip" {
		t.Errorf("key of a second call to one endpoint: %+v", second)
	}
	if _, err := ParseKey(second.Value); err != nil {
		t.Errorf("key of a second call to one endpoint: %v", err)
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

// underOneKey are the ways in which several calls come under one key.
func underOneKey() map[string]func(context.Context) context.Context {
	return map[string]func(context.Context) context.Context{
		"the caller's own": func(ctx context.Context) context.Context { return WithKey(ctx, "mine") },
		"an execution's": func(ctx context.Context) context.Context {
			return WithExecution(ctx, Key{Value: "p", For: "shop/Order.Place"}, "alice")
		},
		"the caller's own within an execution": func(ctx context.Context) context.Context {
			return WithKey(WithExecution(ctx, Key{Value: "p"}, ""), "mine")
		},
	}
}

// TestCallsUnderOneKey: each call has a key of its own, except a retry.
func TestCallsUnderOneKey(t *testing.T) {
	type call struct {
		step, body string
		ambiguous  bool // how this call ends
		sameAs     int  // number of the call whose key it shares, its own for none
	}
	for name, calls := range map[string][]call{
		"the same body":                 {{"", "x", false, 1}, {"", "x", false, 2}, {"", "x", false, 3}},
		"other bodies":                  {{"", "x", false, 1}, {"", "y", false, 2}, {"", "z", false, 3}},
		"read, change, read":            {{"", "x", false, 1}, {"", "y", false, 2}, {"", "x", false, 3}},
		"steps":                         {{"a", "x", false, 1}, {"b", "x", false, 2}, {"b", "x", false, 3}, {"", "x", false, 4}},
		"retry after an ambiguous end":  {{"", "x", true, 1}, {"", "x", false, 1}, {"", "x", false, 3}},
		"retried twice":                 {{"", "x", true, 1}, {"", "x", true, 1}, {"", "x", false, 1}, {"", "x", false, 4}},
		"retried after another call":    {{"", "x", true, 1}, {"", "y", false, 2}, {"", "x", false, 1}, {"", "y", false, 4}},
		"two retried, in another order": {{"", "x", true, 1}, {"", "y", true, 2}, {"", "y", false, 2}, {"", "x", false, 1}},
		"a later call retried":          {{"", "x", false, 1}, {"", "x", true, 2}, {"", "x", false, 2}},
		"retried in another step":       {{"a", "x", true, 1}, {"b", "x", false, 2}, {"a", "x", false, 1}},
	} {
		for under, begin := range underOneKey() {
			t.Run(name+"/"+under, func(t *testing.T) {
				run := func() []string {
					ctx, keys := begin(t.Context()), make([]string, 0, len(calls))
					for _, c := range calls {
						key, done := mustCallKey(WithStep(ctx, c.step), t, "Wallet.Tip", c.body)
						done(c.ambiguous)
						keys = append(keys, key.Value)
					}
					return keys
				}
				keys := run()
				for i, c := range calls {
					if first := slices.Index(keys, keys[i]) + 1; first != c.sameAs {
						t.Errorf("call %d has the key of call %d, want that of call %d", i+1, first, c.sameAs)
					}
				}
				if again := run(); !slices.Equal(again, keys) {
					t.Errorf("a second run has the keys %q, the first %q", again, keys)
				}
			})
		}
	}
}

// TestStepsMakeTheOrderIrrelevant, while without them the order is what counts.
func TestStepsMakeTheOrderIrrelevant(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			run := func(steps ...string) map[string]string {
				ctx, keys := begin(t.Context()), make(map[string]string, len(steps))
				for _, step := range steps {
					key, done := mustCallKey(WithStep(ctx, step), t, "Wallet.Tip", "x")
					done(false)
					keys[step] = key.Value
				}
				return keys
			}
			first, second := run("a", "b", "c"), run("c", "b", "a")
			if !maps.Equal(first, second) {
				t.Errorf("keys %v, in another order %v", first, second)
			}
			if first["a"] == "mine" {
				t.Error("a call with a step carries the caller's own key")
			}
		})
	}
}

// TestUnorderedCallsAreTold: only a call that is counted while another one of its
// name runs is unordered.
func TestUnorderedCallsAreTold(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			ctx := begin(t.Context())
			begun := func(endpoint, step, body string) (bool, func(bool)) {
				key, done := mustCallKey(WithStep(ctx, step), t, endpoint, body)
				return key.Unordered, done
			}
			want := func(what string, got, want bool) {
				t.Helper()
				if got != want {
					t.Errorf("%s: unordered %v, want %v", what, got, want)
				}
			}
			first, endFirst := begun("Wallet.Tip", "", "x")
			want("first", first, false)
			other, _ := begun("Wallet.Take", "", "x")
			want("to another endpoint", other, false)
			labelled, _ := begun("Wallet.Tip", "a", "x")
			want("with a step", labelled, false)
			second, endSecond := begun("Wallet.Tip", "", "y")
			want("second, beside the first", second, true)
			endFirst(false)
			endSecond(true)
			third, _ := begun("Wallet.Tip", "", "z")
			want("after the others", third, false)
			retry, _ := begun("Wallet.Tip", "", "y")
			want("a retry, beside the third", retry, false) // it has its number already
		})
	}
}

// TestFingerprintIsAskedForOnlyAfterAnAmbiguousEnd, because it costs as much as the
// encoding of the body.
func TestFingerprintIsAskedForOnlyAfterAnAmbiguousEnd(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			ctx, asked := begin(t.Context()), 0
			call := func(ambiguous bool) {
				_, done, err := CallKey(ctx, "bank", "Wallet.Tip", func() (Fingerprint, error) {
					asked++
					return FingerprintOf("x")
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				done(ambiguous)
			}
			call(false)
			call(false)
			if asked != 0 {
				t.Errorf("asked %d times where nothing was ambiguous", asked)
			}
			call(true)
			call(false)
			if asked != 2 {
				t.Errorf("asked %d times, want once for each of two calls", asked)
			}
		})
	}
}

// TestCallKeyWithoutFingerprint: whether a call repeats one that may have been
// executed must not be guessed.
func TestCallKeyWithoutFingerprint(t *testing.T) {
	broken := errors.New("cannot be read twice")
	fail := func() (Fingerprint, error) { return Fingerprint{}, broken }
	for name, tt := range map[string]struct {
		first, second func() (Fingerprint, error)
		cause         error
	}{
		"of both":       {fail, fail, broken},
		"of the first":  {fail, printOf("x"), broken},
		"of the second": {printOf("x"), fail, broken},
		"nil":           {nil, nil, errNoFingerprint},
	} {
		for under, begin := range underOneKey() {
			t.Run(name+"/"+under, func(t *testing.T) {
				ctx := begin(t.Context())
				_, done, err := CallKey(ctx, "bank", "Wallet.Tip", tt.first, nil)
				if err != nil {
					t.Fatal(err)
				}
				done(true)
				_, _, err = CallKey(ctx, "bank", "Wallet.Tip", tt.second, nil)
				var step *StepError
				if !errors.Is(err, ErrStepNeeded) || !errors.Is(err, tt.cause) || !errors.As(err, &step) {
					t.Fatalf("error %v, want one about %v", err, tt.cause)
				}
				if step.StatusCode() != 422 || !strings.Contains(err.Error(), tt.cause.Error()) || !strings.Contains(err.Error(), "WithStep") {
					t.Errorf("%d %v, want 422 with the cause and what to do", step.StatusCode(), err)
				}
			})
		}
	}
}

// TestOutOfOrder: once a call has found the record of another one, no call of its name
// gets a number any more, and what has one keeps it.
func TestOutOfOrder(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			ctx := begin(t.Context())
			bob, done := mustCallKey(ctx, t, "Wallet.Tip", "bob")
			done(true)
			OutOfOrder(ctx, "bank", "Wallet.Tip")
			if again, done := mustCallKey(ctx, t, "Wallet.Tip", "bob"); again.Value != bob.Value {
				t.Errorf("a retry has the key %q, want %q", again.Value, bob.Value)
			} else {
				done(true)
			}
			_, _, err := CallKey(ctx, "bank", "Wallet.Tip", printOf("ann"), nil)
			if !errors.Is(err, ErrStepNeeded) || !errors.Is(err, errOutOfOrder) {
				t.Errorf("another call: %v, want %v", err, errOutOfOrder)
			}
			mustCallKey(ctx, t, "Wallet.Take", "ann")
			mustCallKey(WithStep(ctx, "ann"), t, "Wallet.Tip", "ann")
		})
	}
}

func TestConcurrentCallsUnderOneKey(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			const calls = 16
			ctx, keys := begin(t.Context()), make(chan string, 2*calls)
			var group sync.WaitGroup
			for i := range calls {
				for _, endpoint := range []string{"Wallet.Tip", "Wallet.Take"} {
					group.Go(func() {
						key, done, err := CallKey(ctx, "bank", endpoint, printOf("x"), nil)
						if err != nil {
							t.Error(err)
							return
						}
						keys <- endpoint + key.Value
						done(i%2 == 0)
					})
				}
			}
			group.Wait()
			close(keys)
			total := 0
			for range keys {
				total++
			}
			if total != 2*calls {
				t.Errorf("%d of %d calls got a key", total, 2*calls)
			}
		})
	}
}

// TestConcurrentCallsThatEndWell have keys of their own, those that a sequence of
// as many calls has.
func TestConcurrentCallsThatEndWell(t *testing.T) {
	for under, begin := range underOneKey() {
		t.Run(under, func(t *testing.T) {
			const calls = 16
			concurrent, sequential := make([]string, calls), make([]string, calls)
			ctx := begin(t.Context())
			var group sync.WaitGroup
			for i := range concurrent {
				group.Go(func() {
					key, done := mustCallKey(ctx, t, "Wallet.Tip", strconv.Itoa(i))
					concurrent[i] = key.Value
					done(false)
				})
			}
			group.Wait()
			ctx = begin(t.Context())
			for i := range sequential {
				key, done := mustCallKey(ctx, t, "Wallet.Tip", "x")
				sequential[i] = key.Value
				done(false)
			}
			slices.Sort(concurrent)
			slices.Sort(sequential)
			if !slices.Equal(concurrent, sequential) || len(slices.Compact(concurrent)) != calls {
				t.Errorf("concurrent calls have the keys %q, calls one after the other %q", concurrent, sequential)
			}
		})
	}
}

func BenchmarkCallKey(b *testing.B) {
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx := WithKey(b.Context(), "mine")
			if _, _, err := CallKey(ctx, "bank", "Wallet.Tip", nil, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("second", func(b *testing.B) {
		b.ReportAllocs()
		ctx := WithKey(b.Context(), "mine")
		for b.Loop() {
			_, done, err := CallKey(ctx, "bank", "Wallet.Tip", nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			done(false)
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
