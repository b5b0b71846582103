package retryfunc

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newBudget(tb testing.TB, opts ...BudgetOption) *Budget {
	tb.Helper()
	b, err := NewBudget(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// drain withdraws until the budget is empty, and counts.
func drain(b *Budget) (granted int) {
	for b.Withdraw() {
		granted++
	}
	return granted
}

func deposit(b *Budget, calls int) {
	for range calls {
		b.Deposit()
	}
}

func TestBudgetDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t)
		deposit(b, 500)
		if got := b.Balance(); got != 200 {
			t.Errorf("Balance = %d, want 200", got)
		}
		if got := drain(b); got != 10*10+500/5 {
			t.Errorf("%d retries, want the floor of 100 and 20%% of 500", got)
		}
		if got := b.Balance(); got != 0 {
			t.Errorf("Balance of an empty budget = %d", got)
		}
	})
}

func TestBudgetExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, WithRatio(0.5), WithMinPerSecond(0), WithWindow(10*time.Second))
		deposit(b, 10)
		time.Sleep(5 * time.Second)
		deposit(b, 20)
		for _, step := range []struct {
			sleep time.Duration
			want  int
		}{{0, 15}, {4900 * time.Millisecond, 15}, {200 * time.Millisecond, 10}, {5 * time.Second, 0}} {
			time.Sleep(step.sleep)
			if got := b.Balance(); got != step.want {
				t.Errorf("%v later: %d, want %d", step.sleep, got, step.want)
			}
		}
	})
}

// What a burst withdrew from the floor comes back when the window has passed,
// not before: the floor is an average over the window.
func TestBudgetFloorRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, WithRatio(0), WithMinPerSecond(3), WithWindow(2*time.Second))
		for _, step := range []struct {
			sleep time.Duration
			want  int
		}{{0, 6}, {time.Second, 0}, {time.Second, 6}, {time.Hour, 6}} {
			time.Sleep(step.sleep)
			if got := drain(b); got != step.want {
				t.Errorf("%v later: %d retries, want %d", step.sleep, got, step.want)
			}
		}
	})
}

func TestBudgetNothing(t *testing.T) {
	b := newBudget(t, WithRatio(0), WithMinPerSecond(0))
	deposit(b, 100)
	if b.Withdraw() {
		t.Error("a budget of nothing paid")
	}
}

func TestBudgetSmallRatio(t *testing.T) {
	b := newBudget(t, WithRatio(0.001), WithMinPerSecond(0), WithClock(func() time.Time { return time.Time{} }))
	deposit(b, 1999)
	if got := drain(b); got != 1 {
		t.Errorf("%d retries, want 1", got)
	}
}

func TestBudgetClockGoesBack(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBudget(t, WithRatio(1), WithMinPerSecond(0), WithClock(func() time.Time { return now }))
	now = now.Add(time.Minute)
	deposit(b, 4)
	now = now.Add(-time.Hour)
	deposit(b, 4)
	if got := drain(b); got != 8 {
		t.Errorf("%d retries, want 8", got)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	b := newBudget(t, WithRatio(0.5), WithMinPerSecond(0), WithClock(func() time.Time { return time.Time{} }))
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				b.Deposit()
				if b.Withdraw() {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if total := granted.Load() + int64(drain(b)); total != 1000 {
		t.Errorf("%d retries for 2000 calls, want 1000", total)
	}
}
