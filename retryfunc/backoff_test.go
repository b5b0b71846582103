package retryfunc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func newBackoff(t *testing.T, opts ...BackoffOption) *Backoff {
	t.Helper()
	b, err := NewBackoff(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBackoffCeiling(t *testing.T) {
	b := newBackoff(t)
	b.random = func(n int64) int64 { return n - 1 } // the longest wait
	for retry, want := range map[int]time.Duration{
		-1: 0, 0: 0, 1: 25 * time.Millisecond, 2: 50 * time.Millisecond, 3: 100 * time.Millisecond,
		6: 800 * time.Millisecond, 7: time.Second, 8: time.Second, 1 << 40: time.Second,
	} {
		if got := b.Delay(retry); got != want {
			t.Errorf("Delay(%d) = %v, want %v", retry, got, want)
		}
	}
	b = newBackoff(t, WithBase(1<<62), WithCap(1<<63-1))
	b.random = func(n int64) int64 { return max(n, -n) - 1 }
	if got := b.ceiling(100); got != 1<<63-1 {
		t.Errorf("ceiling = %v", got)
	}
}

// Full jitter spreads evenly over the whole of the ceiling.
func TestBackoffJitter(t *testing.T) {
	b := newBackoff(t, WithBase(time.Second), WithCap(time.Second))
	const draws = 20_000
	var quarters [4]int
	for range draws {
		d := b.Delay(1)
		if d < 0 || d > time.Second {
			t.Fatalf("Delay(1) = %v", d)
		}
		quarters[min(3, d*4/time.Second)]++
	}
	for i, n := range quarters {
		if n < draws/5 || n > draws*3/10 {
			t.Errorf("quarter %d of the ceiling got %d of %d draws", i, n, draws)
		}
	}
}

func TestBackoffFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff(t)
		b.random = func(n int64) int64 { return n - 1 }
		backoff, start := b.Func(), time.Now()
		for attempts, want := range []time.Duration{0, 25 * time.Millisecond, 75 * time.Millisecond} {
			d, err := backoff(context.Background(), nil, attempts)
			if took := time.Since(start); d != 0 || err != nil || took != want {
				t.Errorf("after attempt %d: %v, %v, waited %v in all, want %v", attempts, d, err, took, want)
			}
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		for _, d := range []time.Duration{0, -time.Second} {
			if err := Wait(context.Background(), d); err != nil || time.Since(start) != 0 {
				t.Errorf("Wait(%v) = %v after %v", d, err, time.Since(start))
			}
		}
		if err := Wait(canceled(), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait on a dead context = %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("Wait beyond the deadline = %v after %v", err, time.Since(start))
		}
		if err := Wait(ctx, time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("Wait(1s) = %v after %v", err, time.Since(start))
		}
		time.AfterFunc(time.Second, cancel)
		if err := Wait(ctx, 30*time.Second); !errors.Is(err, context.Canceled) || time.Since(start) != 2*time.Second {
			t.Errorf("Wait on a context that ends = %v after %v", err, time.Since(start))
		}
	})
}

// go-micro flattens a BackoffFunc's error into text; it must still be told
// from a failed attempt.
func TestWaitErrorsKeepTheirClass(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for err, want := range map[error]Class{Wait(ctx, time.Hour): Timeout, Wait(canceled(), 0): Canceled} {
		if got := Classify(internal("backoff error: %v", err), mucp); got != want {
			t.Errorf("mucp: %v is %v, want %v", err, got, want)
		}
		if got := Classify(internal("%v", err), grpc); got != want {
			t.Errorf("grpc: %v is %v, want %v", err, got, want)
		}
	}
}
