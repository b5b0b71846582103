package hystrix_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	hystrixgo "github.com/afex/hystrix-go/hystrix"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
)

// TestHystrixAgreesAfterAStorm flaps instances from many goroutines, and then
// compares what the Set and hystrix say of each.
func TestHystrixAgreesAfterAStorm(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		t.Run(fmt.Sprintf("dashboard=%v", dashboard), func(t *testing.T) {
			const addresses, goroutines, reports = 6, 8, 60
			// A name per opening: each takes two failures and a success before it.
			const names = goroutines * reports / 3
			mirror, err := hystrix.NewMirror(hystrix.WithPoolSize(names+addresses), hystrix.WithDashboard(dashboard))
			if err != nil {
				t.Fatal(err)
			}
			defer mirror.Close()
			seen := make(map[string]bool) // every name that ever showed an address
			set, err := breaker.New(
				mirror.Option(), breaker.WithThreshold(2), breaker.WithSleepWindow(10*time.Microsecond),
				breaker.WithHook(func(tr breaker.Transition) {
					if name, ok := mirror.Circuit(tr.Address); ok {
						seen[name] = true
					}
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()

			address := func(i int) string { return fmt.Sprintf("10.0.0.%d:1", i%addresses) }
			var callers sync.WaitGroup
			for caller := range goroutines {
				callers.Go(func() {
					for i := range reports {
						ev := breaker.Broken
						if (i/4+caller)%2 == 0 {
							ev = breaker.Success
						}
						if open, _ := set.Open(address(i)); !open || set.Probe(address(i), true) {
							set.Report(address(i), ev, time.Now(), time.Microsecond)
						}
					}
				})
			}
			callers.Wait()
			for i := range addresses / 2 { // some certainly end open
				for range 2 {
					set.Report(address(i), breaker.Broken, time.Now(), time.Microsecond)
				}
			}
			if !set.AnyOpen() {
				t.Fatal("nothing is open: nothing is compared")
			}

			showsOpen := make(map[string]bool)
			for e := range set.OpenAddresses() {
				name, ok := mirror.Circuit(e)
				if !ok {
					t.Fatalf("%s is open and not shown", e)
				}
				showsOpen[name] = true
			}
			for name := range seen {
				want := showsOpen[name]
				await(t, fmt.Sprintf("hystrix shows %s open: %v", name, want), func() bool {
					return isOpen(t, name) == want
				})
			}
		})
	}
}

func isOpen(t *testing.T, name string) bool {
	t.Helper()
	c, made, err := hystrixgo.GetCircuit(name)
	if err != nil || made {
		t.Fatalf("GetCircuit(%q): made %v, error %v", name, made, err)
	}
	return c.IsOpen()
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s still not true: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
