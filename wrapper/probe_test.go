package wrapper_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
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
			group sync.WaitGroup
			mu    sync.Mutex
			lost  []string
		)
		began := time.Now()
		for range callers {
			group.Go(func() {
				for time.Since(began) < after {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					report, err := f.call(ctx, fixture.Sleep, "1ms")
					switch {
					case err == nil:
					case !met(&report, f.nodes[0].Address()): // the machine had no time for it
						if ctx.Err() == nil {
							t.Errorf("a call failed elsewhere: %v: %s", err, report.Story())
						}
					default:
						mu.Lock()
						lost = append(lost, fmt.Sprintf("after %v: %s", time.Since(began).Round(time.Millisecond), report.Story()))
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
		if len(lost) > most {
			t.Errorf("%d calls were lost, want at most %d:\n%s", len(lost), most, strings.Join(lost, "\n"))
		}
	})
}

// met tells whether a call was tried at an address.
func met(report *wrapper.Report, address string) bool {
	return slices.ContainsFunc(report.Attempts, func(a wrapper.Attempt) bool { return a.Address == address })
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
