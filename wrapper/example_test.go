package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// bank makes a client of two instances, a and b, whose attempts end as told, the
// last way again for every attempt after it.
func bank(attempts []error, opts ...wrapper.ClientOption) client.Client {
	wrap, err := wrapper.NewClientWrapper(opts...)
	if err != nil {
		log.Fatal(err)
	}
	return wrap(wireClient{stock(nodes("a", "b")), (&recorder{answers: attempts}).wire})
}

// transfer makes a call that is not known to be safe, and prints its story.
func transfer(c client.Client, opts ...client.CallOption) {
	var report wrapper.Report
	ctx := wrapper.WithReport(context.Background(), &report)
	if err := c.Call(ctx, c.NewRequest("bank", "Bank.Transfer", nil), nil, opts...); err != nil {
		fmt.Println(merrors.FromError(err).Detail)
	}
	for _, a := range report.Attempts {
		fmt.Println(a.Number, a.Address, a.Class, "-", a.Reason)
	}
}

func ExampleNewClientWrapper() {
	wrap, err := wrapper.NewClientWrapper(wrapper.WithAttempts(2))
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Wrap(wrap)) // in a service: micro.WrapClient(wrap), after Init
	fmt.Println(wrapper.Check(c))
	// Output: <nil>
}

// Reads are hedged, and so are payments, which every instance deduplicates in one
// store; one call is not.
func ExampleWithHedge() {
	wrap, err := wrapper.NewClientWrapper(wrapper.WithHedge(20*time.Millisecond), wrapper.WithHedgedWrites())
	if err != nil {
		log.Fatal(err)
	}
	c := wrap(wireClient{stock(nodes("a", "b")), new(recorder).wire})
	err = c.Call(context.Background(), c.NewRequest("bank", "Bank.Export", nil), nil, wrapper.WithoutHedge())
	fmt.Println(err)
	_, err = wrapper.NewClientWrapper(wrapper.WithHedge(0))
	fmt.Println(err)
	// Output:
	// <nil>
	// wrapper: WithHedge(0s): must be a positive duration: see WithoutHedge to have none
}

// The delay follows the endpoint: it is what 95 % of its calls need, within bounds.
func ExampleWithAdaptiveHedge() {
	_, err := wrapper.NewClientWrapper(wrapper.WithAdaptiveHedge(0.95, 5*time.Millisecond, 100*time.Millisecond))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleNewClientWrapper_misuse() {
	_, err := wrapper.NewClientWrapper(wrapper.WithAttempts(0), wrapper.WithBudget(nil))
	fmt.Println(err)
	// Output:
	// wrapper: WithAttempts(0): must be 1 to 100, the first try included
	// wrapper: WithBudget(<nil>): must be a budget made by retryfunc.NewBudget
}

// Streams of a service that sends much before it is answered may keep more of it, so
// that they can be sent to another instance; one call may have its own.
func ExampleWithStreamBuffer() {
	wrap, err := wrapper.NewClientWrapper(wrapper.WithStreamBuffer(4 << 20))
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Wrap(wrap))
	upload := c.NewRequest("files", "Files.Upload", nil, client.StreamingRequest())
	_, err = c.Stream(context.Background(), upload, wrapper.WithStreamBuffer(-1))
	fmt.Println(merrors.FromError(err).Detail)
	// Output:
	// wrapper: WithStreamBuffer(-1): must be 0 to 67108864 bytes, 0 for streams of which only the opening is retried
}

// A refused dial is no attempt: nothing was sent.
func ExampleWithStory() {
	c := bank([]error{errRefused, nil})
	var report wrapper.Report
	err := c.Call(context.Background(), c.NewRequest("bank", "Bank.Transfer", nil), nil, wrapper.WithStory(&report))
	fmt.Println(err, len(report.Attempts), report.Attempts[0].Class, report.Attempts[1].Address)
	// Output: <nil> 2 not sent b
}

// A connection that broke has perhaps executed the transfer: the caller is told
// under which key to try again.
func ExampleReport_Ambiguous() {
	c := bank([]error{errBroken, nil})
	var report wrapper.Report
	request := c.NewRequest("bank", "Bank.Transfer", nil)
	if err := c.Call(context.Background(), request, nil, wrapper.WithStory(&report)); err != nil && report.Ambiguous() {
		fmt.Println("perhaps done, so again, under the same key")
		err = c.Call(context.Background(), request, nil, wrapper.WithCallKey(report.Key))
		fmt.Println(err)
	}
	// Output:
	// perhaps done, so again, under the same key
	// <nil>
}

// The same option is for a client, and for one call.
func ExampleWithPolicy() {
	c := bank([]error{errBroken, nil}, wrapper.WithPolicy(retryfunc.Careful))
	transfer(c, wrapper.WithPolicy(retryfunc.Always)) // may give the money twice
	// Output:
	// 1 a broken - retry granted
	// 2 b none -
}

func ExampleWithAttempts() {
	c := bank([]error{errBroken}, wrapper.WithPolicy(retryfunc.OnError))
	transfer(c, wrapper.WithAttempts(2))
	// Output:
	// unexpected EOF
	// 1 a broken - retry granted
	// 2 b broken - attempts exhausted (wrapper.WithAttempts)
}

func ExampleWithoutRetry() {
	c := bank([]error{errBroken}, wrapper.WithPolicy(retryfunc.OnError))
	transfer(c, wrapper.WithoutRetry())
	// Output:
	// unexpected EOF
	// 1 a broken - attempts exhausted (wrapper.WithAttempts)
}

func ExampleWithSafety() {
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{"bank/Bank.Balance": retryfunc.SafetySafe})
	if err != nil {
		log.Fatal(err)
	}
	c := bank([]error{errBroken, nil}, wrapper.WithSafety(rule))
	transfer(c, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetyIdempotent))) // this one call may run twice
	// Output:
	// 1 a broken - retry granted
	// 2 b none -
}

func ExampleWithAttemptTimeout() {
	c := bank(nil)
	transfer(c, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)), wrapper.WithAttemptTimeout(time.Second))
	// Output: 1 a none -
}

func ExampleWithBackoff() {
	slow, err := retryfunc.NewBackoff(retryfunc.WithBase(time.Millisecond), retryfunc.WithCap(2*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	c := bank([]error{errRefused, errRefused, nil})
	transfer(c, wrapper.WithBackoff(slow)) // before an instance is tried again
	// Output:
	// 1 a not sent - retry granted
	// 2 b not sent - retry granted
	// 3 a none -
}

func ExampleWithCallKey() {
	c := bank(nil)
	var report wrapper.Report
	err := c.Call(context.Background(), c.NewRequest("bank", "Bank.Transfer", nil), nil,
		wrapper.WithCallKey("order-7"), wrapper.WithStory(&report))
	fmt.Println(report.Key, err)
	err = c.Call(context.Background(), c.NewRequest("bank", "Bank.Transfer", nil), nil, wrapper.WithCallKey("no key"))
	fmt.Println(errors.Is(err, idempotency.ErrInvalidKey))
	// Output:
	// order-7 <nil>
	// true
}

func ExampleWithObserver() {
	c := bank([]error{errRefused, nil}, wrapper.WithObserver(wrapper.ObserverFunc(func(_ context.Context, e wrapper.Event) {
		switch e := e.(type) {
		case *wrapper.Decided:
			fmt.Println(e.Endpoint, "on", e.Attempt.Address, "was", e.Attempt.Class, "so:", e.Reason)
		case *wrapper.CallEnded:
			fmt.Println(e.Service, e.Endpoint, "after", len(e.Attempts), "attempts, saved by", e.Saved(), e.Err)
		}
	})))
	if err := c.Call(context.Background(), c.NewRequest("bank", "Bank.Transfer", nil), nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Bank.Transfer on a was not sent so: retry granted
	// bank Bank.Transfer after 2 attempts, saved by retry <nil>
}

func ExampleCheck() {
	wrap, err := wrapper.NewClientWrapper()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(wrapper.Check(wrap(wrap(client.NewClient()))))
	// Output: wrapper: wrapped by oncemore already: install the plugin, or the wrapper, once
}
