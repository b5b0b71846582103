package wrapper_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// busyFleet are instances of six slots each, on a clock of their own. A call works
// 60 ms in one, after those that came before it; or is refused where too many wait.
type busyFleet struct {
	most  int // calls that may wait for a slot, or have one
	slots map[string]chan struct{}

	mu      sync.Mutex
	waiting map[string]int
	offered int // calls
	hedged  int
}

func newBusyFleet(most int) *busyFleet {
	f := &busyFleet{most: most, slots: make(map[string]chan struct{}), waiting: make(map[string]int)}
	for _, address := range []string{"a", "b", "c"} {
		f.slots[address] = make(chan struct{}, 6)
	}
	return f
}

func (f *busyFleet) wire(ctx context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
	if !f.enter(node.Address) {
		return retryfunc.NewMarked(503, "busy", retryfunc.Mark{Kind: retryfunc.MarkRefused, Service: "bank"})
	}
	defer f.leave(node.Address)
	slot := f.slots[node.Address]
	slot <- struct{}{} // though nobody may wait any more, as on mucp
	time.Sleep(60 * time.Millisecond)
	<-slot
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reply(rsp, node.Address)
	return nil
}

func (f *busyFleet) enter(address string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting[address] >= f.most {
		return false
	}
	f.waiting[address]++
	return true
}

func (f *busyFleet) leave(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[address]--
}

// offer makes calls of half a second at a rate for some time, and returns how many
// were answered.
func (f *busyFleet) offer(t *testing.T, c client.Client, perSecond int, during time.Duration) int {
	t.Helper()
	var group sync.WaitGroup
	answered := 0
	for end := time.Now().Add(during); time.Now().Before(end); {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			_, report, err := call(ctx, c, read)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.offered++
			if slices.ContainsFunc(report.Attempts, func(a wrapper.Attempt) bool { return a.Reason == retryfunc.ReasonHedged }) {
				f.hedged++
			}
			if err == nil {
				answered++
			}
		})
		time.Sleep(time.Duration((0.5 + rand.Float64()) * float64(time.Second) / float64(perSecond)))
	}
	group.Wait()
	return answered
}

// TestHedgesAddNothingToOverload: of a fleet that is offered half as much again as it
// can do, hedged callers get as much as others, while that lasts and afterwards.
// Where instances refuse what they cannot do, that is the same each time. Where they
// do not, a fleet breaks down in about a second: how many calls that second has varies
// by a tenth, and how soon it recovers by more, hedged or not.
func TestHedgesAddNothingToOverload(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name          string
		most          int
		during, after float64 // hedged ÷ not hedged, at the least
	}{
		{"instances that refuse", 20, 0.95, 0.95},
		{"instances that do not", 1 << 20, 0.85, 0.6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := client.NewClient(client.Selector(shuffled{fixedSelector{services: nodes("a", "b", "c")}}))
			synctest.Test(t, func(t *testing.T) {
				off := overload(t, inner, tt.most)
				for name, hedge := range map[string]wrapper.ClientOption{
					"fixed": wrapper.WithHedge(80 * ms), "adaptive": wrapper.WithAdaptiveHedge(0.95, 10*ms, 200*ms),
				} {
					on := overload(t, inner, tt.most, hedge)
					t.Logf("%s: answered in overload %d, not hedged %d; afterwards %d, %d; hedged %d of %d",
						name, on.during, off.during, on.after, off.after, on.hedged, on.offered)
					if float64(on.during) < tt.during*float64(off.during) || float64(on.after) < tt.after*float64(off.after) {
						t.Errorf("%s: %d and %d calls were answered, and %d and %d not hedged", name, on.during, on.after, off.during, off.after)
					}
					if on.hedged > on.offered/50 {
						t.Errorf("%s: %d of %d calls were hedged in overload", name, on.hedged, on.offered)
					}
				}
				time.Sleep(time.Hour)
			})
		})
	}
}

// overloaded is what became of calls in overload, and how many were answered
// afterwards.
type overloaded struct{ offered, during, hedged, after int }

// overload offers a fleet half of what it can do, half as much again as that, and
// half of it again, a few times.
func overload(t *testing.T, inner client.Client, most int, opts ...wrapper.ClientOption) (sum overloaded) {
	t.Helper()
	for range 3 {
		f := newBusyFleet(most)
		c := wrap(t, wireClient{inner, f.wire}, slices.Concat(opts, []wrapper.ClientOption{wrapper.WithBreaker(newSet(t)), safety(t)})...)
		f.offer(t, c, 150, 5*time.Second)
		f.offered, f.hedged = 0, 0
		sum.during += f.offer(t, c, 450, 5*time.Second)
		sum.offered += f.offered
		sum.hedged += f.hedged
		time.Sleep(5 * time.Second)
		sum.after += f.offer(t, c, 150, 3*time.Second)
	}
	return sum
}

// TestHedgesOfNestedCallsAreSpared where the request that they belong to runs beside
// another already: a chain that is slow would be asked twice as often at each hop.
func TestHedgesOfNestedCallsAreSpared(t *testing.T) {
	const ms = time.Millisecond
	for ration, hedged := range map[string]bool{"850ms; spare=0; path=1": false, "850ms; spare=1": true, "850ms": true} {
		t.Run(ration, func(t *testing.T) {
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				w, set := newScript(step{100 * ms, nil}), patientSet(t)
				c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*ms), wrapper.WithBreaker(set), safety(t))
				handle := wrapHandler(t, func(ctx context.Context, _ server.Request, _ any) error {
					_, report, err := call(ctx, c, read)
					if got := report.Attempts[0].Reason == retryfunc.ReasonHedgeSpared; got == hedged || err != nil {
						t.Errorf("error %v, spared: %t: %s", err, got, report.Story())
					}
					return err
				})
				if err := tip(attemptTime(t.Context(), ration), handle); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute) // the contexts end
			})
		})
	}
}
