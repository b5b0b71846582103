package concurrency_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/concurrency"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func adaptive(t *testing.T, options ...concurrency.Option) *concurrency.Limiter {
	t.Helper()
	l, err := concurrency.NewAdaptive(options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFixed(t *testing.T) {
	l, err := concurrency.NewFixed(2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if got := l.Enter(); got != want {
			t.Errorf("request %d: %v", i+1, got)
		}
	}
	l.Leave(time.Hour, time.Second)
	l.Leave(time.Second, time.Hour)
	want := concurrency.Snapshot{Limit: 2, Admitted: 2, Refused: 1, Late: 1}
	if got := l.Snapshot(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !l.Enter() || l.Snapshot().Running != 1 {
		t.Errorf("a place that was given back is not taken: %+v", l.Snapshot())
	}
}

// TestLimitMoves: what one request does to a limit of 20.
func TestLimitMoves(t *testing.T) {
	tests := []struct {
		name      string
		running   int
		took, had time.Duration
		want      int
	}{
		{"late", 20, 600 * time.Millisecond, time.Second, 16},
		{"late, and alone", 1, 600 * time.Millisecond, time.Second, 16},
		{"half of its time", 20, 500 * time.Millisecond, time.Second, 20},
		{"no deadline", 20, time.Hour, 0, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := adaptive(t)
			for range tt.running {
				l.Enter()
			}
			if l.Leave(tt.took, tt.had); l.Snapshot().Limit != tt.want {
				t.Errorf("%+v, want a limit of %d", l.Snapshot(), tt.want)
			}
		})
	}
}

// TestLimitGrowsWhereItIsUsed: by about one for as many requests as it allows, if at
// least half of it is used.
func TestLimitGrowsWhereItIsUsed(t *testing.T) {
	for running, want := range map[int]int{20: 21, 11: 21, 9: 20} {
		l := adaptive(t)
		for range running {
			l.Enter()
		}
		for range 21 {
			l.Leave(time.Millisecond, time.Second)
			l.Enter()
		}
		if got := l.Snapshot().Limit; got != want {
			t.Errorf("%d of 20 are running: the limit becomes %d, want %d", running, got, want)
		}
	}
}

func TestLimitKeepsWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := adaptive(t, concurrency.WithBounds(3, 5), concurrency.WithStart(4))
		for range 100 {
			l.Enter()
			time.Sleep(time.Second)
			l.Leave(time.Second, time.Second)
		}
		if got := l.Snapshot().Limit; got != 3 {
			t.Errorf("the limit falls to %d", got)
		}
		for range 100 {
			for range 5 {
				l.Enter()
			}
			for range l.Snapshot().Running {
				l.Leave(time.Millisecond, time.Second)
			}
		}
		if got := l.Snapshot().Limit; got != 5 {
			t.Errorf("the limit rises to %d", got)
		}
	})
}

// TestManyLateAtOnce: requests that ran at the same time tell of one congestion.
func TestManyLateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := adaptive(t)
		for range 20 {
			l.Enter()
		}
		time.Sleep(time.Second)
		for range 20 {
			l.Leave(time.Second, time.Second)
		}
		if got := l.Snapshot(); got.Limit != 16 || got.Late != 20 {
			t.Errorf("%+v, want one step from 20", got)
		}
		l.Enter()
		time.Sleep(time.Second)
		if l.Leave(time.Second, time.Second); l.Snapshot().Limit != 12 {
			t.Errorf("%+v, want another step", l.Snapshot())
		}
	})
}

// TestOverload: a server with 6 slots of 60 ms, offered half as much again as it can
// do by callers who wait a second, answers in time nearly all that it can.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work, patience, load, lasts = 60 * time.Millisecond, time.Second, 150, 20 * time.Second
		l, slots := adaptive(t), make(chan struct{}, 6)
		var mu sync.Mutex
		inTime := 0
		var wg sync.WaitGroup
		for range int(lasts.Seconds() * load) {
			time.Sleep(time.Second / load)
			if !l.Enter() {
				continue
			}
			wg.Go(func() {
				began := time.Now()
				slots <- struct{}{}
				time.Sleep(work)
				<-slots
				took := time.Since(began)
				l.Leave(took, patience)
				mu.Lock()
				defer mu.Unlock()
				if took <= patience {
					inTime++
				}
			})
		}
		wg.Wait()
		if done := float64(inTime) / (100 * lasts.Seconds()); done < 0.97 {
			t.Errorf("answers %.2f of its capacity in time: %+v", done, l.Snapshot())
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	const callers, each, limit = 8, 2000, 3
	l, err := concurrency.NewFixed(limit)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				if l.Enter() {
					if s := l.Snapshot(); s.Running > limit || s.Running < 1 {
						t.Errorf("%+v", s)
					}
					l.Leave(1, 2)
				}
			}
		})
	}
	wg.Wait()
	s := l.Snapshot()
	if s.Running != 0 || s.Admitted+s.Refused != callers*each {
		t.Errorf("%+v after %d requests", s, callers*each)
	}
}

func TestMisuse(t *testing.T) {
	fixed := func(n int) error { _, err := concurrency.NewFixed(n); return err }
	adapts := func(o ...concurrency.Option) error { _, err := concurrency.NewAdaptive(o...); return err }
	tests := []struct {
		err  error
		want string
	}{
		{fixed(0), "NewFixed(0): must be 1 to 1000000"},
		{fixed(-3), "NewFixed(-3): must be 1 to 1000000"},
		{fixed(1_000_001), "NewFixed(1000001): must be 1 to 1000000"},
		{adapts(concurrency.WithStart(0)), "WithStart(0): must be 1 to 1000"},
		{adapts(concurrency.WithStart(1001)), "WithStart(1001): must be 1 to 1000"},
		{adapts(concurrency.WithBounds(30, 40), concurrency.WithStart(20)), "WithStart(20): must be 30 to 40"},
		{adapts(concurrency.WithBounds(0, 10)), "WithBounds(0, 10): must be 1 to 1000000"},
		{adapts(concurrency.WithBounds(5, 4)), "WithBounds(5, 4): must be 1 to 1000000, the least first"},
		{adapts(nil), "nil option"},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%v, want %q", tt.err, tt.want)
		}
	}
	for _, bounds := range [][3]int{{30, 40, 30}, {1, 10, 10}, {1, 1000, 20}} {
		if got := adaptive(t, concurrency.WithBounds(bounds[0], bounds[1])).Snapshot().Limit; got != bounds[2] {
			t.Errorf("within %v it begins with %d", bounds, got)
		}
	}
}
