package wrapper_test

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// deadAddresses are n addresses of this machine where every dial is refused.
func deadAddresses(t *testing.T, n int) []string {
	t.Helper()
	_, port, err := net.SplitHostPort(fixture.RefusedAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = net.JoinHostPort(fmt.Sprintf("127.0.%d.%d", 1+i/250, 1+i%250), port)
	}
	return addresses
}

// TestManyDeadInstances: with all of them dead a call makes so many dials and no
// more, and what it costs grows no faster than their number.
func TestManyDeadInstances(t *testing.T) {
	// Those that are free, those that are not, and one more each time that the call
	// looks whether an instance has appeared.
	const mostDials = 32 + wrapper.DefaultAttempts + 13
	eachTransport(t, func(t *testing.T, transport string) {
		cost := make(map[int]time.Duration)
		for _, n := range []int{100, 1000} {
			c := wrap(t, fixture.NewClient(t, transport, deadAddresses(t, n)), fixtureSafety(t))
			for _, endpoint := range []string{fixture.Echo, fixture.Sleep} {
				for range 5 {
					report, spent := failOnce(t, c, endpoint)
					if got := len(report.Attempts); got > mostDials {
						t.Errorf("%s, %d instances: %d dials, want at most %d", endpoint, n, got, mostDials)
					}
					if best, ok := cost[n]; !ok || spent < best {
						cost[n] = spent
					}
				}
			}
		}
		t.Logf("CPU of one call: %v", cost)
		if ratio := float64(cost[1000]) / float64(cost[100]); ratio > 20 {
			t.Errorf("a call costs %.0f times as much with 1,000 dead instances as with 100: %v", ratio, cost)
		}
	})
}

// failOnce makes a call of a second that fails, and returns what CPU it took.
func failOnce(t *testing.T, c client.Client, endpoint string) (report wrapper.Report, spent time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	before := usedCPU(t)
	if _, err := fixture.Call(ctx, c, endpoint, "1ms", wrapper.WithStory(&report)); err == nil {
		t.Fatal("a dead instance answered")
	}
	return report, usedCPU(t) - before
}

// usedCPU is what the process has used.
func usedCPU(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestOneLivingAmongManyDead is found by every call, whatever it does, though no
// call dials them all.
func TestOneLivingAmongManyDead(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		alive := fixture.Start(t, fixture.Config{Transport: transport})
		c := wrap(t, fixture.NewClient(t, transport, append(deadAddresses(t, 25), alive.Address())), fixtureSafety(t))
		for _, endpoint := range []string{fixture.Echo, fixture.Sleep} {
			for range 20 {
				var report wrapper.Report
				if _, err := fixture.Call(t.Context(), c, endpoint, "1ms", wrapper.WithStory(&report)); err != nil {
					t.Fatalf("%s: %v: %s", endpoint, err, report.Story())
				}
			}
		}
	})
}

// TestBudgetOfEachCallee: with one callee in trouble, retries of another's calls are
// still paid for.
func TestBudgetOfEachCallee(t *testing.T) {
	wire := &perNode{answers: map[string]error{"bad": errBroken, "worse": errBroken}}
	c := newWire(t, nodes("bad", "worse"), wire.wire, safety(t))
	for range 300 {
		_, _, _ = call(t.Context(), c, read)
	}
	if made := wire.count["bad"] + wire.count["worse"]; made > 300+100+60+1 {
		t.Errorf("%d attempts of 300 calls", made)
	}
	req := c.NewRequest("shop", read, nil)
	var report wrapper.Report
	if err := c.Call(t.Context(), req, nil, wrapper.WithStory(&report)); err == nil || len(report.Attempts) != wrapper.DefaultAttempts {
		t.Errorf("error %v, want %d attempts: %s", err, wrapper.DefaultAttempts, report.Story())
	}
}
