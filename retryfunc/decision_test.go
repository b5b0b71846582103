package retryfunc

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
)

func must(t *testing.T, policy client.RetryFunc, err error) client.RetryFunc {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestObserve(t *testing.T) {
	plain := errors.New("x")
	final := NewMarked(503, "", Mark{Kind: MarkRefused, Service: service, NoRetry: true})
	later := NewMarked(503, "", Mark{Kind: MarkRefused, Service: service, RetryAfter: time.Second})
	past, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	soon, cancelSoon := context.WithTimeout(context.Background(), time.Minute)
	defer cancelSoon()
	limit := func(n, attempts int) client.RetryFunc { return limited(t, newBudget(t, still(n)...), attempts, yes) }
	patient, err := WithinDeadline(yes, time.Hour)
	patient = must(t, patient, err)
	obedient, err := Obey(yes)
	obedient = must(t, obedient, err)

	tests := []struct {
		name   string
		ctx    context.Context
		policy client.RetryFunc
		err    error
		want   Reason
		delay  time.Duration
	}{
		{"granted", context.Background(), yes, plain, ReasonGranted, 0},
		{"granted later", context.Background(), yes, later, ReasonGranted, time.Second},
		{"policy", context.Background(), no, later, ReasonPolicy, 0},
		{"attempts", context.Background(), limit(9, 1), plain, ReasonAttempts, 0},
		{"budget", context.Background(), limit(0, 9), plain, ReasonBudget, 0},
		{"deadline ahead", soon, patient, plain, ReasonDeadline, 0},
		{"deadline past", past, no, plain, ReasonDeadline, 0},
		{"server", context.Background(), obedient, final, ReasonServer, 0},
		{"server, careful", context.Background(), Careful, final, ReasonServer, 0},
		{"canceled", canceled(), Careful, plain, ReasonCanceled, 0},
		{"canceled elsewhere", context.Background(), Careful, timedOut("call timeout: context canceled"), ReasonCanceled, 0},
		{"no reason left over", context.Background(), must(t, first(limit(0, 9), yes), nil), plain, ReasonGranted, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen []Decision
			policy, err := Observe(tt.policy, func(_ context.Context, d Decision) { seen = append(seen, d) })
			if err != nil {
				t.Fatal(err)
			}
			retry, perr := policy(tt.ctx, request{service: service, endpoint: "Say.Hello"}, 1, tt.err)
			if perr != nil || len(seen) != 1 {
				t.Fatalf("%v, seen %d times", perr, len(seen))
			}
			d := seen[0]
			if d.Retry != retry || retry != (tt.want == ReasonGranted) || d.Reason != tt.want || d.Delay != tt.delay {
				t.Errorf("retry %v, saw %+v, want %v", retry, d, tt.want)
			}
			if d.Service != service || d.Endpoint != "Say.Hello" || d.Attempt.Number != 2 || !errors.Is(d.Err, tt.err) {
				t.Errorf("saw %+v", d)
			}
		})
	}
}

func first(a, b client.RetryFunc) client.RetryFunc {
	policy, err := Any(a, b)
	if err != nil {
		return nil
	}
	return policy
}

func TestObserveKeepsTheAttempt(t *testing.T) {
	a := Attempt{Class: Broken, Number: 2, Address: "127.0.0.1:1", Duration: time.Second, Safety: SafetySafe, KeyTrusted: true, Untried: true}
	d, err := Explain(given(a), Careful, nil, 7, errors.New("x"))
	if err != nil || d.Attempt != a || !d.Retry {
		t.Errorf("%+v, %v, want %+v", d, err, a)
	}
}

func TestExplainBrokenPolicy(t *testing.T) {
	d, err := Explain(context.Background(), broken, nil, 0, errors.New("x"))
	if !errors.Is(err, errPolicy) || d.Retry || d.Reason != ReasonPolicy {
		t.Errorf("%+v, %v", d, err)
	}
}
