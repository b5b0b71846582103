package wrapper_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// TestProbesAreRareWhereTheyCost: where all calls are unsafe, each that probes a
// frozen instance is lost, and its outcome is unknown.
func TestProbesAreRareWhereTheyCost(t *testing.T) {
	const (
		patience = 300 * time.Millisecond
		callers  = 4
		after    = 10 * time.Second
	)
	eachTransport(t, func(t *testing.T, transport string) {
		t.Parallel()
		f := startFleet(t, transport, 3)
		f.nodes[0].Freeze()
		defer f.nodes[0].Thaw()
		var (
			group  sync.WaitGroup
			mu     sync.Mutex
			failed []time.Duration
		)
		began := time.Now()
		for range callers {
			group.Go(func() {
				for time.Since(began) < after {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					if _, err := f.call(ctx, fixture.Sleep, "1ms"); err != nil {
						mu.Lock()
						failed = append(failed, time.Since(began).Round(time.Millisecond))
						mu.Unlock()
					}
					cancel()
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		group.Wait()
		// Five failures eject, beside those in flight; then one call after three
		// seconds, one after six more, and so on.
		const most = 5 + callers + 2
		if len(failed) > most {
			t.Errorf("%d calls failed, want at most %d; after %v", len(failed), most, failed)
		}
	})
}

// TestProbesFindTheRecovered: safe calls, which can be made elsewhere, bring an
// instance back within a few sleep windows, and nobody notices.
func TestProbesFindTheRecovered(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 3)
		f.drive(t, 100)
		f.nodes[0].Freeze()
		f.drive(t, 200)
		f.nodes[0].Thaw()
		before := f.nodes[0].Executions(fixture.Echo)
		f.comesBack(t, f.nodes[0], before)
	})
}
