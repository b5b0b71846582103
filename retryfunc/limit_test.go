package retryfunc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
)

func limited(t *testing.T, b *Budget, attempts int, policy client.RetryFunc) client.RetryFunc {
	t.Helper()
	p, err := b.Limit(attempts, policy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func still(n int) []BudgetOption { // a budget of n retries, without time
	return []BudgetOption{
		WithRatio(0), WithMinPerSecond(n), WithWindow(time.Second),
		WithClock(func() time.Time { return time.Time{} }),
	}
}

func TestLimitAttempts(t *testing.T) {
	b := newBudget(t, still(10)...)
	policy := limited(t, b, 3, yes)
	for retryCount, want := range []bool{true, true, false, false} {
		got, err := policy(context.Background(), nil, retryCount, errors.New("x"))
		if got != want || err != nil {
			t.Errorf("after attempt %d: %v, %v, want %v", retryCount+1, got, err, want)
		}
	}
	if got := b.Balance(); got != 8 {
		t.Errorf("%d left of 10 after 2 retries", got)
	}
}

func TestLimitBudget(t *testing.T) {
	policy := limited(t, newBudget(t, still(2)...), 99, yes)
	for i, want := range []bool{true, true, false} {
		if got, err := policy(context.Background(), nil, 0, errors.New("x")); got != want || err != nil {
			t.Errorf("retry %d: %v, %v, want %v", i+1, got, err, want)
		}
	}
}

func TestLimitChargesOnlyForRetries(t *testing.T) {
	b := newBudget(t, still(1)...)
	ask(context.Background(), t, limited(t, b, 3, no), errors.New("x"), false)
	ask(context.Background(), t, limited(t, b, 1, yes), errors.New("x"), false)
	if got, err := limited(t, b, 3, broken)(context.Background(), nil, 0, nil); got || !errors.Is(err, errPolicy) {
		t.Errorf("broken policy: %v, %v", got, err)
	}
	moving := given(Attempt{Class: NotSent, Number: 9, Untried: true})
	ask(moving, t, limited(t, b, 3, yes), errors.New("x"), true)
	if got := b.Balance(); got != 1 {
		t.Fatalf("%d left of 1", got)
	}
	ask(given(Attempt{Class: NotSent, Number: 2}), t, limited(t, b, 3, yes), errors.New("x"), true) // nowhere else to go
	ask(given(Attempt{Class: NotSent, Number: 2}), t, limited(t, b, 3, yes), errors.New("x"), false)
	ask(given(Attempt{Class: Broken, Number: 3, Untried: true}), t, limited(t, b, 3, yes), errors.New("x"), false)
}

func TestWithinDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, err := WithinDeadline(yes, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ask(context.Background(), t, policy, errors.New("x"), true)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		later := NewMarked(503, "", Mark{Kind: MarkRefused, Service: service, RetryAfter: 1500 * time.Millisecond})
		for _, step := range []struct {
			sleep      time.Duration
			err        error
			want, mark bool
		}{{0, errors.New("x"), true, true}, {time.Second, errors.New("x"), true, false}, {1001 * time.Millisecond, errors.New("x"), false, false}, {time.Second, errors.New("x"), false, false}} {
			time.Sleep(step.sleep)
			ask(ctx, t, policy, step.err, step.want)
			ask(ctx, t, policy, later, step.mark)
		}
	})
}

func TestWithinDeadlinePasses(t *testing.T) {
	for _, policy := range []client.RetryFunc{no, broken} {
		p, err := WithinDeadline(policy, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := p(context.Background(), nil, 0, errors.New("x")); got {
			t.Error("a no became a yes")
		}
	}
}

func TestObey(t *testing.T) {
	policy, err := Obey(yes)
	if err != nil {
		t.Fatal(err)
	}
	ask(context.Background(), t, policy, NewMarked(503, "", Mark{Kind: MarkRefused, Service: service}), true)
	ask(context.Background(), t, policy, NewMarked(503, "", Mark{Kind: MarkRefused, Service: service, NoRetry: true}), false)
	ask(context.Background(), t, policy, NewMarked(503, "", Mark{Kind: MarkRelayed, Service: "bank", NoRetry: true}), false)
	ask(context.Background(), t, policy, errors.New("x"), true)
}
