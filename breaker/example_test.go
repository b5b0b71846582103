package breaker_test

import (
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
)

func Example() {
	now := time.Unix(0, 0)
	set, err := breaker.New(
		breaker.WithThreshold(5),
		breaker.WithSleepWindow(time.Second),
		breaker.WithClock(func() time.Time { return now }),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer set.Close()

	const address = "10.0.0.7:8080"
	call := func(ev breaker.Event) {
		start := now
		now = now.Add(10 * time.Millisecond)
		set.Report(address, ev, start, now.Sub(start))
	}

	call(breaker.Refused) // counts triple
	call(breaker.Refused)
	open, refused := set.Open(address)
	fmt.Println("open:", open, "refused:", refused)

	fmt.Println("probe:", set.Probe(address, true))
	now = now.Add(time.Second)
	fmt.Println("probe, a window later:", set.Probe(address, true))
	fmt.Println("another:", set.Probe(address, true))

	call(breaker.Success)
	fmt.Println("open:", set.AnyOpen())
	// Output:
	// open: true refused: true
	// probe: false
	// probe, a window later: true
	// another: false
	// open: false
}

func ExampleWithHook() {
	set, err := breaker.New(breaker.WithThreshold(1), breaker.WithHook(func(t breaker.Transition) {
		fmt.Printf("%s: %v to %v (%v)\n", t.Address, t.From, t.To, t.Event)
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer set.Close()

	set.Report("10.0.0.7:8080", breaker.Timeout, time.Now(), time.Second)
	// Output:
	// 10.0.0.7:8080: closed to open (timeout)
	// 10.0.0.7:8080: open to closed (ignored)
}

func ExampleNew_invalid() {
	_, err := breaker.New(breaker.WithThreshold(0))
	fmt.Println(err)
	// Output: breaker: WithThreshold(0): must be at least 1
}
