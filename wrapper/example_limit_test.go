package wrapper_test

import (
	"fmt"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// In overload a server refuses what it would answer too late, before it runs.
func ExampleWithConcurrencyLimit() {
	limiter, err := concurrency.NewAdaptive(concurrency.WithBounds(5, 200))
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	wrap, err := wrapper.NewHandlerWrapper("hello-srv", guard, wrapper.WithConcurrencyLimit(limiter))
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = wrap // for micro.WrapHandler
	fmt.Println(limiter.Snapshot().Limit)
	// Output: 20
}
