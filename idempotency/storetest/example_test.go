package storetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

// The test of a store of your own.
func ExampleRun() { //nolint:testableexamples // it takes a test
	testStore := func(t *testing.T) { // in a file of its tests: func TestStore
		storetest.Run(t, func(t *testing.T) storetest.Harness {
			t.Helper()
			store, err := memstore.New()
			if err != nil {
				t.Fatal(err)
			}
			return storetest.Harness{Store: store}
		})
	}
	_ = testing.InternalTest{Name: "TestStore", F: testStore}
}

// A store that is away: nothing is executed.
func ExampleFaulty() {
	store, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	away := storetest.Faulty(store, func(_ context.Context, op storetest.Op) storetest.Fault {
		if op == storetest.OpBegin {
			return storetest.Fault{Before: idempotency.NotApplied(storetest.ErrInjected)}
		}
		return storetest.Fault{}
	})
	guard, err := idempotency.New(away, idempotency.WithLogger(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	call := idempotency.Call{Service: "bank", Endpoint: "Bank.Tip", Key: idempotency.Key{Value: "order-7"}}
	_, err = guard.Do(context.Background(), call, func(context.Context) error {
		fmt.Println("executed")
		return nil
	})
	fmt.Println(err)
	// Output: idempotency: the idempotency store is unavailable; nothing was executed: storetest: injected fault
}
