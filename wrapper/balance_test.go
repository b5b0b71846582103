package wrapper_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/selectorx"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// slowTime is what a slow server adds to each call.
const slowTime = 250 * time.Millisecond

// flatClient returns a wrapped client over a flat selector that knows the addresses.
func flatClient(
	t *testing.T, transport string, addresses []string, strategy selector.Strategy, opts ...wrapper.ClientOption,
) (client.Client, *selectorx.Flat) {
	t.Helper()
	reg := fixture.NewRegistry(map[string][]string{fixture.DefaultService: addresses})
	flat, err := selectorx.NewFlat(selectorx.WithRegistry(reg), selectorx.WithFlatStrategy(strategy))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flat.Close(); err != nil {
			t.Error(err)
		}
	})
	stock := fixture.NewClient(t, transport, addresses,
		client.Selector(flat), client.Registry(reg), client.RequestTimeout(10*time.Second))
	return wrap(t, stock, append([]wrapper.ClientOption{fixtureSafety(t)}, opts...)...), flat
}

// TestBalanceAvoidsASlowNode: one of three processes is slow. Random choice is the
// control.
func TestBalanceAvoidsASlowNode(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		nodes := []*fixture.Node{
			fixture.Start(t, fixture.Config{Transport: transport, Setup: "sluggish"}),
			fixture.Start(t, fixture.Config{Transport: transport}),
			fixture.Start(t, fixture.Config{Transport: transport}),
		}
		addresses := make([]string, len(nodes))
		for i, node := range nodes {
			addresses[i] = node.Address()
		}
		var shares [2]float64
		var means [2]time.Duration
		for i, strategy := range []selector.Strategy{nil, selector.Random} {
			calls := [...]int{2400, 240}[i]
			before := nodes[0].Executions(fixture.Echo)
			c, flat := flatClient(t, transport, addresses, strategy, wrapper.WithAttempts(1))
			began := time.Now()
			callTogether(t, c, calls)
			means[i] = time.Since(began) * callersAtOnce / time.Duration(calls)
			shares[i] = float64(nodes[0].Executions(fixture.Echo)-before) / float64(calls)
			wantIdle(t, flat)
		}
		t.Logf("the slow node's share %.4f, at random %.4f; mean %v, at random %v", shares[0], shares[1], means[0], means[1])
		if shares[0] > 0.02 {
			t.Errorf("the slow node's share is %.4f, want at most 0.02", shares[0])
		}
		if shares[1] < 0.2 {
			t.Errorf("at random it is %.4f: the control shows nothing", shares[1])
		}
		if ratio := float64(means[0]) / float64(means[1]); ratio > 0.5 {
			t.Errorf("the mean is %.2f of that at random, want at most 0.5", ratio)
		}
	})
}

// callTogether makes calls, eight at a time.
func callTogether(t *testing.T, c client.Client, calls int) {
	t.Helper()
	var callers sync.WaitGroup
	for range callersAtOnce {
		callers.Go(func() {
			for range calls / callersAtOnce {
				if _, err := fixture.Call(t.Context(), c, fixture.Echo, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
}

// wantIdle checks that every attempt that was counted as begun has ended.
func wantIdle(t *testing.T, flat *selectorx.Flat) {
	t.Helper()
	for _, s := range flat.Status() {
		if s.InFlight != 0 {
			t.Errorf("%d attempts on %s are in flight, want none", s.InFlight, s.Service)
		}
	}
}

// TestEveryAttemptEndsItsLoad: however attempts end, none is counted as running for ever.
func TestEveryAttemptEndsItsLoad(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		frozen := fixture.Start(t, fixture.Config{Transport: transport})
		alive := fixture.Start(t, fixture.Config{Transport: transport})
		addresses := []string{frozen.Address(), alive.Address(), fixture.RefusedAddress(t)}
		c, flat := flatClient(t, transport, addresses, nil, wrapper.WithAttempts(3))
		callTogether(t, c, 80)
		frozen.Freeze()
		defer frozen.Thaw()
		var callers sync.WaitGroup
		for i := range 24 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+10*i)*time.Millisecond)
				defer cancel()
				endpoint := fixture.Echo
				switch i % 4 {
				case 1:
					endpoint = fixture.InternalError
				case 2:
					endpoint = fixture.BadRequest
				case 3:
					time.AfterFunc(20*time.Millisecond, cancel)
				}
				if _, err := fixture.Call(ctx, c, endpoint, ""); i%4 == 2 && err == nil {
					t.Error("a bad request was answered")
				}
			})
		}
		callers.Wait()
		stream, err := c.Stream(t.Context(), fixture.NewRequest(c, fixture.Stream, "1", client.StreamingRequest()))
		if err == nil {
			err = stream.Close()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("a stream: %v", err)
		}
		wantIdle(t, flat)
	})
}
