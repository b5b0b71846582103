package wrapper_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// envDawdling has each so manieth call of an instance wait for so long.
const envDawdling = "DAWDLING"

func dawdling(fixture.Instance) ([]server.Option, error) {
	var (
		every int64
		text  string
	)
	if _, err := fmt.Sscan(os.Getenv(envDawdling), &every, &text); err != nil {
		return nil, err
	}
	pause, err := time.ParseDuration(text)
	if err != nil {
		return nil, err
	}
	var calls atomic.Int64
	return []server.Option{server.WrapHandler(func(next server.HandlerFunc) server.HandlerFunc {
		return func(ctx context.Context, req server.Request, rsp any) error {
			if calls.Add(1)%every == 0 {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return next(ctx, req, rsp)
		}
	})}, nil
}

// hedgedFleet are three instances, the first of which is configured apart, and a
// client whose hedges are paid for whatever the machine is busy with.
type hedgedFleet struct {
	nodes  []*fixture.Node
	client client.Client
	set    *breaker.Set
}

func startHedgedFleet(t *testing.T, first fixture.Config) *hedgedFleet {
	t.Helper()
	f := &hedgedFleet{set: newSet(t)}
	var addresses []string
	for i := range 3 {
		c := fixture.Config{Transport: first.Transport}
		if i == 0 {
			c = first
		}
		n := fixture.Start(t, c)
		f.nodes, addresses = append(f.nodes, n), append(addresses, n.Address())
	}
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{fixture.Echo: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	f.client = wrap(t, fixture.NewClient(t, first.Transport, addresses), wrapper.WithBreaker(f.set), wrapper.WithSafety(rule),
		wrapper.WithHedge(time.Second),
		wrapper.WithHedgeBudget(newBudget(t, retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1_000_000))))
	return f
}

// callAll makes so many calls, a few at a time, each of which must be answered
// within the limit, and counts those that were hedged.
func (f *hedgedFleet) callAll(t *testing.T, calls int, limit time.Duration) int {
	t.Helper()
	var (
		group         sync.WaitGroup
		begun, hedged atomic.Int64
	)
	for range 8 {
		group.Go(func() {
			for begun.Add(1) <= int64(calls) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*limit)
				var report wrapper.Report
				_, err := fixture.Call(ctx, f.client, fixture.Echo, "", wrapper.WithStory(&report))
				cancel()
				if err != nil || report.Took >= limit {
					t.Errorf("answered after %v, error %v: %s", report.Took, err, report.Story())
				}
				if len(report.Attempts) > 1 {
					hedged.Add(1)
				}
			}
		})
	}
	group.Wait()
	return int(hedged.Load())
}

// TestHedgedSlowInstance: what one instance takes in one of ten calls, nobody has
// to wait for.
func TestHedgedSlowInstance(t *testing.T) {
	const slow = 10 * time.Second
	eachTransport(t, func(t *testing.T, transport string) {
		f := startHedgedFleet(t, fixture.Config{
			Transport: transport, Setup: "dawdling", Env: []string{envDawdling + "=10 " + slow.String()},
		})
		if f.callAll(t, 300, slow) == 0 {
			t.Error("no call was hedged")
		}
	})
}

// TestHedgedFrozenInstance: nobody waits for it, and it is ejected because its
// attempts are outrun, before any of them has had its share of the call's time.
func TestHedgedFrozenInstance(t *testing.T) {
	const share = 20 * time.Second
	eachTransport(t, func(t *testing.T, transport string) {
		f := startHedgedFleet(t, fixture.Config{Transport: transport})
		f.callAll(t, 100, share)
		f.nodes[0].Freeze()
		defer f.nodes[0].Thaw()
		if f.callAll(t, 1000, share/2) == 0 {
			t.Error("no call was hedged")
		}
		ejected := f.set.Ejected()
		if len(ejected) != 1 || ejected[0].Address != f.nodes[0].Address() {
			t.Fatalf("ejected: %+v, want the frozen %s", ejected, f.nodes[0].Address())
		}
		// On grpc a cancelled attempt may take the connection with it, and the frozen
		// process does not answer the next one's handshake.
		if ev := ejected[0].Event; ev != breaker.Outrun && (transport != "grpc" || ev != breaker.Unreachable) {
			t.Errorf("ejected because of %v, want that it was outrun", ev)
		}
	})
}
