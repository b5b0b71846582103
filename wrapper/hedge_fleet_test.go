package wrapper_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// tailFleet is a fleet on a clock of its own: instances that answer within 1 to 2
// ms, unless takes says otherwise. As grpc's they are told when nobody waits any
// more, or as mucp's they are not.
type tailFleet struct {
	tellsLosers bool
	takes       func(address string, random *rand.Rand) time.Duration // 0: as usual

	mu     sync.Mutex
	random *rand.Rand
}

func (f *tailFleet) wire(ctx context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
	answered := time.After(f.next(node.Address))
	gone := ctx.Done()
	if !f.tellsLosers {
		gone = nil
	}
	select {
	case <-answered:
		reply(rsp, node.Address)
		return nil
	case <-gone:
		return ctx.Err()
	}
}

func (f *tailFleet) next(address string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if takes := f.takes(address, f.random); takes > 0 {
		return takes
	}
	return time.Millisecond + time.Duration(f.random.Int64N(int64(time.Millisecond)))
}

// tail is what callers of a fleet have seen.
type tail struct {
	mu      sync.Mutex
	took    []time.Duration
	extra   int
	failed  int
	ejected []breaker.Transition
}

// quantile is within what so many of the calls were answered.
func (a *tail) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(a.took))
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

// drive makes calls at a steady rate, each with 5 s to be answered in, and calls
// event after half of them.
func (f *tailFleet) drive(t *testing.T, inner client.Client, calls int, event func(), opts ...wrapper.ClientOption) *tail {
	t.Helper()
	f.random = rand.New(rand.NewPCG(1, 2)) // the same each time
	seen := new(tail)
	set, err := breaker.New(breaker.WithHook(func(change breaker.Transition) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if change.To == breaker.Open {
			seen.ejected = append(seen.ejected, change)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	c := wrap(t, wireClient{inner, f.wire}, append(opts, wrapper.WithBreaker(set), safety(t))...)
	var group sync.WaitGroup
	for i := range calls {
		if i == calls/2 {
			f.mu.Lock()
			event()
			f.mu.Unlock()
		}
		group.Go(func() { seen.call(t.Context(), c) })
		time.Sleep(2 * time.Millisecond)
	}
	group.Wait()
	return seen
}

func (a *tail) call(ctx context.Context, c client.Client) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var (
		report wrapper.Report
		rsp    wrapperspb.StringValue
	)
	err := c.Call(ctx, c.NewRequest("bank", read, wrapperspb.String("ann")), &rsp, wrapper.WithStory(&report))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took = append(a.took, report.Took)
	a.extra += len(report.Attempts) - 1
	if err != nil {
		a.failed++
	}
}

// eachKind runs a test on fleets that are told of losers and on those that are not.
func eachKind(t *testing.T, test func(t *testing.T, inner client.Client, tellsLosers bool)) {
	for _, tells := range []bool{true, false} {
		t.Run(fmt.Sprintf("losers are told: %t", tells), func(t *testing.T) {
			inner := client.NewClient(client.Selector(shuffled{fixedSelector{services: nodes("a", "b", "c")}}))
			synctest.Test(t, func(t *testing.T) {
				test(t, inner, tells)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// shuffled is a fixedSelector that begins at random.
type shuffled struct{ fixedSelector }

func (s shuffled) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	return s.fixedSelector.Select(service, slices.Concat([]selector.SelectOption{selector.WithStrategy(selector.Random)}, opts)...)
}

// TestTail: one of three instances adds 100 ms to one call in ten.
func TestTail(t *testing.T) {
	const ms = time.Millisecond
	for name, hedge := range map[string]wrapper.ClientOption{
		"fixed": wrapper.WithHedge(10 * ms), "adaptive": wrapper.WithAdaptiveHedge(0.95, ms, 50*ms),
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, inner client.Client, tells bool) {
				f := &tailFleet{tellsLosers: tells, takes: func(address string, random *rand.Rand) time.Duration {
					if address == "a" && random.IntN(10) == 0 {
						return 102 * ms
					}
					return 0
				}}
				const calls = 2_000
				off, hedged := f.drive(t, inner, calls, func() {}), f.drive(t, inner, calls, func() {}, hedge)
				t.Logf("p99 %v, off %v; %.1f %% more attempts", hedged.quantile(0.99), off.quantile(0.99), float64(hedged.extra)/calls*100)
				if hedged.quantile(0.99) > off.quantile(0.99)/4 {
					t.Errorf("p99 %v, off %v", hedged.quantile(0.99), off.quantile(0.99))
				}
				if hedged.extra == 0 || hedged.extra > calls/10 || hedged.failed > 0 || len(hedged.ejected) > 0 {
					t.Errorf("%d extra attempts and %d failures of %d calls, ejected %+v", hedged.extra, hedged.failed, calls, hedged.ejected)
				}
			})
		})
	}
}

// TestFrozenInTheMiddle: one of three instances answers nothing any more.
func TestFrozenInTheMiddle(t *testing.T) {
	const ms = time.Millisecond
	for name, hedge := range map[string]wrapper.ClientOption{
		"fixed": wrapper.WithHedge(10 * ms), "adaptive": wrapper.WithAdaptiveHedge(0.95, ms, 50*ms),
	} {
		t.Run(name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, inner client.Client, tells bool) {
				f := &tailFleet{tellsLosers: tells}
				drive := func(opts ...wrapper.ClientOption) (*tail, time.Duration) {
					var frozen time.Time
					f.takes = func(address string, _ *rand.Rand) time.Duration {
						if address == "a" && !frozen.IsZero() {
							return time.Hour
						}
						return 0
					}
					seen := f.drive(t, inner, 4_000, func() { frozen = time.Now() }, opts...)
					if len(seen.ejected) == 0 {
						t.Fatal("the frozen instance was not ejected")
					}
					return seen, seen.ejected[0].At.Sub(frozen)
				}
				off, without := drive()
				hedged, with := drive(hedge)
				t.Logf("p999 %v, off %v; ejected after %v, off %v; %d extra attempts",
					hedged.quantile(0.999), off.quantile(0.999), with, without, hedged.extra)
				if hedged.quantile(0.999) > off.quantile(0.999)/10 {
					t.Errorf("p999 %v, off %v", hedged.quantile(0.999), off.quantile(0.999))
				}
				if with > 400*ms || hedged.ejected[0].Address != "a" || hedged.failed > 0 {
					t.Errorf("ejected %+v after %v; %d calls failed", hedged.ejected, with, hedged.failed)
				}
			})
		})
	}
}

// TestSlowIsNotFrozen: an instance that always needs 80 ms more, and so is always
// outrun, is not taken for one that has died.
func TestSlowIsNotFrozen(t *testing.T) {
	eachKind(t, func(t *testing.T, inner client.Client, tells bool) {
		f := &tailFleet{tellsLosers: tells, takes: func(address string, _ *rand.Rand) time.Duration {
			if address == "a" {
				return 80 * time.Millisecond
			}
			return 0
		}}
		generous := wrapper.WithHedgeBudget(newBudget(t, retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1000)))
		seen := f.drive(t, inner, 4_000, func() {}, wrapper.WithHedge(10*time.Millisecond), generous)
		t.Logf("p99 %v, %d extra attempts", seen.quantile(0.99), seen.extra)
		if len(seen.ejected) > 0 || seen.failed > 0 {
			t.Errorf("ejected %d times, such as %+v; %d calls failed", len(seen.ejected), seen.ejected[0], seen.failed)
		}
	})
}
