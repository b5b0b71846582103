package memstore_test

import (
	"context"
	"fmt"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// In the memory of one process, for one that has no other instances.
func Example() {
	store, err := memstore.New(memstore.WithMaxEntries(10_000), memstore.WithMaxBytes(16<<20))
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		var reply string
		call := idempotency.Call{
			Service: "shop", Endpoint: "Shop.Order", Key: idempotency.Key{Value: "order-7"}, Body: "a book", Reply: &reply,
		}
		result, err := guard.Do(context.Background(), call, func(context.Context) error {
			fmt.Println("ordering")
			reply = "it comes tomorrow"
			return nil
		})
		fmt.Println(reply, result.Replayed, err)
	}
	// Output:
	// ordering
	// it comes tomorrow false <nil>
	// it comes tomorrow true <nil>
}

// What is wrong is an error when the store is made.
func ExampleNew_wrong() {
	_, err := memstore.New(memstore.WithMaxEntries(0))
	fmt.Println(err)
	// Output: memstore: WithMaxEntries(0): must be at least 1
}
