package retryfunc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// ask makes a call whose attempts all end in failure, and prints whether the
// client's policy had it tried again.
func ask(c client.Client, endpoint string, failure error) {
	attempts := 0
	fail := func(client.CallFunc) client.CallFunc {
		return func(context.Context, *registry.Node, client.Request, any, client.CallOptions) error {
			attempts++
			return failure
		}
	}
	atOnce := func(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }
	req := c.NewRequest("hello-srv", endpoint, nil)
	err := c.Call(context.Background(), req, nil, client.WithAddress("127.0.0.1:9001"),
		client.WithRetries(1), client.WithBackoff(atOnce), client.WithCallWrapper(fail))
	if !errors.Is(err, failure) {
		fmt.Println(err)
	}
	fmt.Println(attempts > 1)
}

var (
	errRefused = merrors.InternalServerError("go.micro.client", "connection error: dial tcp 127.0.0.1:9001: connect: connection refused")
	errBroken  = merrors.InternalServerError("go.micro.client.transport", "unexpected EOF")
	errTimeout = merrors.Timeout("go.micro.client", "<nil>")
	errBusy    = merrors.New("hello-srv", "busy", 503)
)

func ExampleCareful() {
	c := client.NewClient(client.Retry(retryfunc.Careful))
	ask(c, "Wallet.Tip", errRefused) // nothing was sent
	ask(c, "Wallet.Tip", errTimeout) // the tip may have been given
	// Output:
	// true
	// false
}

func ExampleAlways() {
	c := client.NewClient(client.Retry(retryfunc.Always))
	ask(c, "Say.Hello", errBusy)
	// Output: true
}

func ExampleOnError() {
	c := client.NewClient(client.Retry(retryfunc.OnError))
	ask(c, "Say.Hello", errBroken)
	ask(c, "Say.Hello", errBusy)
	// Output:
	// true
	// false
}

func ExampleOnCodes() {
	policy, err := retryfunc.OnCodes(429, 503)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Say.Hello", errBusy)
	// Output: true
}

func ExampleOnClass() {
	policy, err := retryfunc.OnClass(retryfunc.NotSent, retryfunc.Timeout)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Say.Hello", errTimeout)
	ask(c, "Say.Hello", errBroken)
	// Output:
	// true
	// false
}

func ExampleIdempotent() {
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{"Say.Hello": retryfunc.SafetySafe})
	if err != nil {
		log.Fatal(err)
	}
	policy, err := retryfunc.Idempotent(rule)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Say.Hello", errBroken)
	ask(c, "Wallet.Tip", errBroken)
	// Output:
	// true
	// false
}

// What is known to be safe may be retried after anything; the rest only when
// nothing was sent.
func ExampleAny() {
	reads, err := retryfunc.Idempotent(retryfunc.First(retryfunc.ProtoRule(), retryfunc.HTTPRule()))
	if err != nil {
		log.Fatal(err)
	}
	policy, err := retryfunc.Any(retryfunc.Careful, reads)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "GET /users", errBroken)
	ask(c, "POST /users", errBroken)
	ask(c, "POST /users", errRefused)
	// Output:
	// true
	// false
	// true
}

func ExampleAll() {
	timeouts, err := retryfunc.OnClass(retryfunc.Timeout)
	if err != nil {
		log.Fatal(err)
	}
	others, err := retryfunc.Not(timeouts)
	if err != nil {
		log.Fatal(err)
	}
	policy, err := retryfunc.All(retryfunc.OnError, others)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Say.Hello", errBroken)
	ask(c, "Say.Hello", errTimeout)
	// Output:
	// true
	// false
}

func ExampleNot() {
	reads, err := retryfunc.Prefixes("Get", "List")
	if err != nil {
		log.Fatal(err)
	}
	safe, err := retryfunc.Idempotent(reads)
	if err != nil {
		log.Fatal(err)
	}
	policy, err := retryfunc.Not(safe)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Users.Get", errBroken)
	// Output: false
}

func ExampleObey() {
	policy, err := retryfunc.Obey(retryfunc.Always)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Say.Hello", retryfunc.NewMarked(503, "closing down", retryfunc.Mark{
		Kind: retryfunc.MarkRefused, Service: "hello-srv", NoRetry: true,
	}))
	// Output: false
}

func ExampleWithinDeadline() {
	policy, err := retryfunc.WithinDeadline(retryfunc.Careful, 50*time.Millisecond)
	if err != nil {
		log.Fatal(err)
	}
	ask(client.NewClient(client.Retry(policy)), "Say.Hello", errRefused)
	ask(client.NewClient(client.Retry(policy), client.RequestTimeout(40*time.Millisecond)), "Say.Hello", errRefused)
	// Output:
	// true
	// false
}

// depositing pays into the budget once per call.
type depositing struct {
	client.Client

	budget *retryfunc.Budget
}

func (d depositing) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	d.budget.Deposit()
	return d.Client.Call(ctx, req, rsp, opts...)
}

// One budget serves all calls of a client. Something has to deposit for every
// call; without it the budget holds no more than its floor.
func ExampleBudget() {
	budget, err := retryfunc.NewBudget(retryfunc.WithRatio(0), retryfunc.WithMinPerSecond(1), retryfunc.WithWindow(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	policy, err := budget.Limit(3, retryfunc.Careful)
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retries(2), client.Retry(policy), client.Wrap(func(c client.Client) client.Client {
		return depositing{c, budget}
	}))
	ask(c, "Say.Hello", errRefused)
	ask(c, "Say.Hello", errRefused)
	// Output:
	// true
	// false
}

func ExampleBackoff() {
	backoff, err := retryfunc.NewBackoff(retryfunc.WithBase(10*time.Millisecond), retryfunc.WithCap(200*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(retryfunc.Careful), client.Backoff(backoff.Func()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Options().CallOptions.Backoff(ctx, nil, 1)
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

func ExampleObserve() {
	logger := log.New(os.Stdout, "", 0)
	policy, err := retryfunc.Observe(retryfunc.Careful, func(_ context.Context, d retryfunc.Decision) {
		logger.Printf("%s/%s attempt %d: %v, retry %v: %s", d.Service, d.Endpoint, d.Attempt.Number, d.Attempt.Class, d.Retry, d.Reason)
	})
	if err != nil {
		log.Fatal(err)
	}
	c := client.NewClient(client.Retry(policy))
	ask(c, "Wallet.Tip", errTimeout)
	// Output:
	// hello-srv/Wallet.Tip attempt 1: timeout, retry false: endpoint's safety unknown: declare it (wrapper.WithSafety, wrapper.EndpointSafety or idempotency_level), or have every instance deduplicate in one store
	// false
}

func ExampleClassify() {
	grpc := merrors.New("go.micro.client", `connection error: desc = "transport: Error while dialing"`, 503)
	fmt.Println(retryfunc.Classify(errRefused, retryfunc.Evidence{Client: "mucp"}))
	fmt.Println(retryfunc.Classify(grpc, retryfunc.Evidence{Client: "grpc"}))
	fmt.Println(retryfunc.Classify(grpc, retryfunc.Evidence{Client: "grpc", Unsent: true}))
	fmt.Println(retryfunc.Classify(grpc, retryfunc.Evidence{Client: "grpc", Answered: true}))
	// Output:
	// not sent
	// broken
	// not sent
	// internal
}

func ExampleNewMarked() {
	err := retryfunc.NewMarked(503, "too many tips", retryfunc.Mark{
		Kind: retryfunc.MarkRefused, Service: "hello-srv", RetryAfter: 250 * time.Millisecond,
	})
	fmt.Println(err.Status)
	mark, _ := retryfunc.ParseMark(err)
	fmt.Println(mark.Kind, mark.RetryAfter)
	// Output:
	// refused; service=hello-srv; retry-after=250ms
	// refused 250ms
}

func ExampleEvery() {
	policy, err := retryfunc.Idempotent(retryfunc.Every(retryfunc.SafetySafe)) // a client that only reads
	if err != nil {
		log.Fatal(err)
	}
	ask(client.NewClient(client.Retry(policy)), "Say.Hello", errTimeout)
	// Output: true
}

func ExampleInspect() {
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{"Say.Hello": retryfunc.SafetySafe})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(retryfunc.Inspect(rule).Names)
	fmt.Println(retryfunc.Inspect(retryfunc.Every(retryfunc.SafetyUnknown)).Err)
	// Output:
	// [Say.Hello]
	// retryfunc: Every(unknown): must be unsafe, keyed, idempotent or safe
}
