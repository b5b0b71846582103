package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
)

// A service opens one store when it starts, and closes it when its guard has
// been drained.
func ExampleOpen() { //nolint:testableexamples // it takes a Redis to run
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	store, err := redisstore.Open(ctx, "redis://127.0.0.1:6379/0", redisstore.WithPrefix("wallet:"))
	if err != nil {
		fmt.Println(err) // which server, and what is wrong with it
		return
	}
	defer func() {
		if err := store.Close(); err != nil {
			fmt.Println(err)
		}
	}()
	guard, err := idempotency.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = guard.Do(ctx, idempotency.Call{
		Service: "wallet", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: "form-4711"},
	}, func(context.Context) error { return nil })
	fmt.Println(err)
}
