package wrapper_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// crowd are callers of three instances whose circuits are watched. Each call
// takes 50 ms.
type crowd struct {
	nodes  []*fixture.Node
	client client.Client
	set    *breaker.Set
	opened atomic.Int32
}

func startCrowd(t *testing.T, transport string, opts ...wrapper.ClientOption) *crowd {
	t.Helper()
	c := new(crowd)
	set, err := breaker.New(breaker.WithHook(func(change breaker.Transition) {
		if change.To == breaker.Open && change.From == breaker.Closed {
			c.opened.Add(1)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	c.set = set
	var addresses []string
	for range 3 {
		n := fixture.Start(t, fixture.Config{Transport: transport})
		c.nodes, addresses = append(c.nodes, n), append(addresses, n.Address())
	}
	c.client = wrap(t, fixture.NewClient(t, transport, addresses), append(opts, wrapper.WithBreaker(set))...)
	return c
}

// call makes calls with the given patience until over is closed, and counts those
// that were answered.
func (c *crowd) call(ctx context.Context, patience time.Duration, over <-chan struct{}, answered *atomic.Int32) {
	for {
		select {
		case <-over:
			return
		default:
		}
		one, cancel := context.WithTimeout(ctx, patience)
		if _, err := fixture.Call(one, c.client, fixture.Sleep, "50ms"); err == nil {
			answered.Add(1)
		}
		cancel()
	}
}

// TestImpatienceEjectsNobody: callers who wait 20 ms for an endpoint that takes 50
// say nothing of its instances, whether others wait longer or not. A frozen one
// is ejected all the same.
func TestImpatienceEjectsNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		patient int
		safe    bool
	}{
		"alone": {0, false}, "alone, safe": {0, true}, "beside patient callers": {4, false}, "beside patient callers, safe": {4, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, transport string) {
				var opts []wrapper.ClientOption
				if tt.safe {
					opts = append(opts, sleepIsSafe(t))
				}
				c := startCrowd(t, transport, opts...)
				impatient, patient := c.drive(t, tt.patient, 2*time.Second)
				if got := c.opened.Load(); got > 0 {
					t.Errorf("%d circuits opened on healthy instances: %+v", got, c.set.Ejected())
				}
				if tt.patient > 0 && patient == 0 {
					t.Error("no patient caller was answered")
				}
				if impatient > 20 {
					t.Errorf("%d impatient callers were answered: they were to have no time", impatient)
				}
			})
		})
	}
}

// drive has ten impatient callers and some patient ones call for a while.
func (c *crowd) drive(t *testing.T, patientCallers int, d time.Duration) (impatient, patient int32) {
	t.Helper()
	var (
		group        sync.WaitGroup
		quick, there atomic.Int32
	)
	over := make(chan struct{})
	for range 10 {
		group.Go(func() { c.call(t.Context(), 20*time.Millisecond, over, &quick) })
	}
	for range patientCallers {
		group.Go(func() { c.call(t.Context(), 2*time.Second, over, &there) })
	}
	time.Sleep(d)
	close(over)
	group.Wait()
	return quick.Load(), there.Load()
}

// TestBrokenAfterTheDeadline: go-micro's grpc client has no other word for a connection that
// it had not when the caller's time ended, which says nothing of the instance; one that
// breaks before does.
func TestBrokenAfterTheDeadline(t *testing.T) {
	late := merrors.InternalServerError("go.micro.client", "Error sending request: context deadline exceeded")
	for _, tt := range []struct {
		name    string
		after   time.Duration
		err     error
		ejected int
	}{
		{"no connection in time", 0, late, 0},
		{"broken when it is over", 0, errBroken, 0},
		{"broken before", -time.Millisecond, errBroken, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a"))
			synctest.Test(t, func(t *testing.T) {
				set := newSet(t)
				c := wrap(t, wireClient{inner, func(ctx context.Context, _ *registry.Node, _ client.Request, _ any, _ client.CallOptions) error {
					deadline, _ := ctx.Deadline()
					time.Sleep(time.Until(deadline.Add(tt.after)))
					return tt.err
				}}, wrapper.WithBreaker(set), wrapper.WithAttempts(1))
				for range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					if _, _, err := call(ctx, c, write); err == nil {
						t.Fatal("a call was answered")
					}
					cancel()
					time.Sleep(10 * time.Millisecond)
				}
				if got := len(set.Ejected()); got != tt.ejected {
					t.Errorf("ejected: %+v, want %d", set.Ejected(), tt.ejected)
				}
			})
		})
	}
}

// TestFrozenInstanceIsEjectedAmongImpatientCallers by those who waited long enough.
func TestFrozenInstanceIsEjectedAmongImpatientCallers(t *testing.T) {
	for name, opts := range map[string][]wrapper.ClientOption{"unsafe": nil, "safe": {sleepIsSafe(t)}} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, transport string) {
				c := startCrowd(t, transport, opts...)
				c.drive(t, 4, time.Second)
				c.nodes[0].Freeze()
				defer c.nodes[0].Thaw()
				isOut := func() bool {
					return slices.ContainsFunc(c.set.Ejected(), func(e breaker.Ejection) bool { return e.Address == c.nodes[0].Address() })
				}
				for deadline := time.Now().Add(time.Minute); !isOut(); {
					if time.Now().After(deadline) {
						t.Fatal("the frozen instance was never ejected")
					}
					c.drive(t, 4, 500*time.Millisecond)
				}
				if got := len(c.set.Ejected()); got != 1 {
					t.Errorf("ejected: %+v", c.set.Ejected())
				}
			})
		})
	}
}
