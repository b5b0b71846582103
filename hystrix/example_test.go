package hystrix_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
)

func Example() {
	mirror, err := hystrix.NewMirror(hystrix.WithNamePrefix("payments"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mirror.Close()
	set, err := breaker.New(mirror.Option())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer set.Close()

	const address = "10.0.0.7:8080"
	for range 5 {
		set.Report(address, breaker.Broken, time.Now(), time.Millisecond)
	}
	name, ok := mirror.Circuit(address) // for hystrix.GetCircuit of hystrix-go
	fmt.Println(ok, strings.HasPrefix(name, "payments-"))
	// Output: true true
}

func ExampleNewMirror_invalid() {
	_, err := hystrix.NewMirror(hystrix.WithPoolSize(0))
	fmt.Println(err)
	// Output: hystrix: WithPoolSize(0): must be at least 1
}
