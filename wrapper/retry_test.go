package wrapper_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestRetryOrNot(t *testing.T) {
	internal := merrors.InternalServerError("bank", "out of cheese")
	tests := []struct {
		name     string
		endpoint string
		answers  []error
		opts     []wrapper.ClientOption
		call     []client.CallOption
		want     []string // where the attempts went
		reasons  []retryfunc.Reason
		fails    bool
	}{
		{"answered", write, nil, nil, nil, []string{"a"}, []retryfunc.Reason{""}, false},
		{"refused dial moves on", write, []error{errRefused, nil}, nil, nil,
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}, false},
		{"refused dials are not counted", write, []error{errRefused, errRefused, nil},
			[]wrapper.ClientOption{wrapper.WithAttempts(1)}, nil, []string{"a", "b", "c"},
			[]retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, ""}, false},
		{"all refuse", write, []error{errRefused}, nil, nil, []string{"a", "b", "c", "a", "b"},
			[]retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonAttempts}, true},
		{"broken write", write, []error{errBroken, nil}, nil, nil,
			[]string{"a"}, []retryfunc.Reason{retryfunc.ReasonUndeclared}, true},
		{"refused dials leave the attempts to the living", read, []error{errTimeout, errRefused, errRefused, errBroken, errRefused, nil}, nil, nil,
			[]string{"a", "b", "c", "a", "b", "a"}, []retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonGranted, ""}, false},
		{"broken read", read, []error{errBroken, nil}, nil, nil,
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}, false},
		{"broken write, vouched", write, []error{errBroken, nil}, []wrapper.ClientOption{wrapper.WithTrustedKeys()}, nil,
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}, false},
		{"internal read", read, []error{internal, errTimeout, nil}, nil, nil,
			[]string{"a", "b", "c"}, []retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, ""}, false},
		{"attempts run out", read, []error{errBroken}, []wrapper.ClientOption{wrapper.WithAttempts(2)}, nil,
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonAttempts}, true},
		{"application answer", read, []error{merrors.NotFound("bank", "no such account")}, nil, nil,
			[]string{"a"}, []retryfunc.Reason{retryfunc.ReasonAnswered}, true},
		{"server forbids", read, []error{retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "bank", NoRetry: true})}, nil, nil,
			[]string{"a"}, []retryfunc.Reason{retryfunc.ReasonServer}, true},
		{"own policy", write, []error{errBroken, nil}, []wrapper.ClientOption{wrapper.WithPolicy(retryfunc.Always)}, nil,
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}, false},
		{"policy of the call", write, []error{errBroken, nil}, nil, []client.CallOption{client.WithRetry(retryfunc.OnError)},
			[]string{"a", "b"}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}, false},
		{"retries of the call", read, []error{errBroken}, nil, []client.CallOption{client.WithRetries(0)},
			[]string{"a"}, []retryfunc.Reason{retryfunc.ReasonAttempts}, true},
		{"negative retries still call", read, nil, nil, []client.CallOption{client.WithRetries(-1)},
			[]string{"a"}, []retryfunc.Reason{""}, false},
		{"addresses of the call", read, []error{errBroken, errBroken, nil}, nil, []client.CallOption{client.WithAddress("x", "y", "z")},
			nil, []retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, ""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: tt.answers}
			c := newWire(t, nodes("a", "b", "c"), wire.wire, append(tt.opts, safety(t))...)
			answer, report, err := call(t.Context(), c, tt.endpoint, tt.call...)
			if (err != nil) != tt.fails {
				t.Fatalf("answer %q, error %v", answer, err)
			}
			if got := wire.addresses(); tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("attempts went to %v, want %v", got, tt.want)
			} else if tt.want == nil && len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(tt.reasons) {
				t.Errorf("attempts went to %v: an address was tried twice", got)
			}
			if err == nil && answer != report.Attempts[len(report.Attempts)-1].Address {
				t.Errorf("answer %q, story %v", answer, report.Attempts)
			}
			checkReasons(t, report, tt.reasons)
		})
	}
}

func checkReasons(t *testing.T, report wrapper.Report, want []retryfunc.Reason) {
	t.Helper()
	got := make([]retryfunc.Reason, len(report.Attempts))
	for i, a := range report.Attempts {
		got[i] = a.Reason
		if a.Number != i+1 {
			t.Errorf("attempt %d has number %d", i+1, a.Number)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("reasons %q, want %q", got, want)
	}
}

func TestNoNode(t *testing.T) {
	for name, services := range map[string][]*registry.Service{"unknown service": nil, "no node": nodes()} {
		t.Run(name, func(t *testing.T) {
			wire := new(recorder)
			c := newWire(t, services, wire.wire, wrapper.WithPolicy(retryfunc.Careful))
			_, report, err := call(t.Context(), c, read)
			if err == nil || len(wire.addresses()) != 0 {
				t.Fatalf("error %v after attempts on %v", err, wire.addresses())
			}
			for _, a := range report.Attempts {
				if a.Class != retryfunc.NoNode {
					t.Errorf("story: %v", a)
				}
			}
		})
	}
}

func TestBudgetEndsRetries(t *testing.T) {
	budget, err := retryfunc.NewBudget(retryfunc.WithMinPerSecond(0), retryfunc.WithRatio(0.5))
	if err != nil {
		t.Fatal(err)
	}
	wire := &recorder{answers: []error{errBroken}}
	c := newWire(t, nodes("a", "b", "c", "d"), wire.wire, wrapper.WithBudget(budget), safety(t))
	const calls = 20
	refused := 0
	for range calls {
		_, report, err := call(t.Context(), c, read)
		if err == nil {
			t.Fatal("no error")
		}
		if report.Attempts[len(report.Attempts)-1].Reason == retryfunc.ReasonBudget {
			refused++
		}
	}
	if got := len(wire.addresses()); got > calls+calls/2 || got <= calls {
		t.Errorf("%d calls made %d attempts, want a retry for half of them at the most", calls, got)
	}
	if refused == 0 {
		t.Error("no retry was refused for the budget")
	}
}

func TestDeadlineEndsRetries(t *testing.T) {
	inner := stock(nodes("a"))
	synctest.Test(t, func(t *testing.T) {
		backoff, err := retryfunc.NewBackoff(retryfunc.WithBase(time.Hour), retryfunc.WithCap(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		wire := &recorder{answers: []error{errBroken}}
		c := wrap(t, wireClient{inner, wire.wire}, wrapper.WithBackoff(backoff), safety(t))
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond*100)
		defer cancel()
		_, report, err := call(ctx, c, read)
		if err == nil || len(wire.addresses()) != 1 {
			t.Fatalf("error %v after %v", err, wire.addresses())
		}
		checkReasons(t, report, []retryfunc.Reason{retryfunc.ReasonDeadline})
	})
}

func TestBackoffOnlyWhenEveryNodeWasTried(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		hook := func(_ context.Context, d retryfunc.Decision) { delays = append(delays, d.Delay) }
		backoff, err := retryfunc.NewBackoff(retryfunc.WithBase(time.Second), retryfunc.WithCap(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		wire := &recorder{answers: []error{errBroken, errBroken, nil}}
		c := wrap(t, wireClient{inner, wire.wire}, wrapper.WithBackoff(backoff), onDecision(hook), safety(t))
		began := time.Now()
		if _, _, err := call(t.Context(), c, read); err != nil {
			t.Fatal(err)
		}
		if len(delays) != 2 || delays[0] != 0 || delays[1] <= 0 || delays[1] > time.Second {
			t.Errorf("delays %v, want none and then up to a second", delays)
		}
		if waited := time.Since(began); waited != delays[1] {
			t.Errorf("waited %v, said %v", waited, delays[1])
		}
	})
}

func TestServerAsksForTime(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		busy := retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "bank", RetryAfter: 3 * time.Second})
		wire := &recorder{answers: []error{busy, nil}}
		c := wrap(t, wireClient{inner, wire.wire})
		began := time.Now()
		if _, _, err := call(t.Context(), c, write); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}
