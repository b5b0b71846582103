package bench

import (
	"context"
	"testing"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	community "github.com/go-micro/plugins/v4/wrapper/breaker/hystrix"
	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// BenchmarkStack is one successful call through each client stack, beside the
// bare client.
func BenchmarkStack(b *testing.B) {
	for _, w := range wires() {
		b.Run("wire="+w.name, func(b *testing.B) {
			addresses := []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
			plain := w.dial(b, bank(nodeMetadata(), addresses...))
			announcing := w.dial(b, bank(nodeMetadata(wrapper.MetadataServer, "2", wrapper.MetadataStore, "one"), addresses...))
			bare := calling(plain, read)
			for _, s := range []struct {
				name string
				call func(context.Context) error
			}{
				{"bare", bare},
				{"oncemore-safe", calling(wrapped(b, plain), read)},
				{"oncemore-keyed", calling(wrapped(b, plain), write)},
				{"oncemore-safe-announced", calling(wrapped(b, announcing), read)},
				{"oncemore-keyed-announced", calling(wrapped(b, announcing), write)},
				{"hystrix.DoC", callingHystrix(plain)},
				{"hystrix-wrapper", callingCommunity(plain)},
				{"failsafe", callingFailsafe(plain)},
			} {
				b.Run("stack="+s.name, func(b *testing.B) { beside(b, bare, s.call) })
			}
		})
	}
}

// patience is a timeout that no call reaches, however busy the machine is.
const patience = time.Minute

// room is for the calls that hystrix still counts as running when they have
// returned: by default it refuses one call after another once there are ten.
const room = 10_000

// callingHystrix puts hystrix.DoC around each call, as is commonly done.
func callingHystrix(c client.Client) func(context.Context) error {
	const command = "bench"
	hystrix.ConfigureCommand(command, hystrix.CommandConfig{Timeout: int(patience.Milliseconds()), MaxConcurrentRequests: room})
	call := calling(c, read)
	return func(ctx context.Context) error { return hystrix.DoC(ctx, command, call, nil) }
}

// callingCommunity uses the hystrix wrapper of go-micro's plugins.
func callingCommunity(c client.Client) func(context.Context) error {
	community.ConfigureCommand(service+"."+read, community.CommandConfig{Timeout: int(patience.Milliseconds()), MaxConcurrentRequests: room})
	return calling(community.NewClientWrapper()(c), read)
}

// callingFailsafe composes what a call through oncemore has: retries, a circuit
// breaker and a timeout for each attempt.
func callingFailsafe(c client.Client) func(context.Context) error {
	executor := failsafe.With(
		retrypolicy.NewBuilder[any]().WithMaxAttempts(wrapper.DefaultAttempts).WithBackoff(25*time.Millisecond, time.Second).Build(),
		circuitbreaker.NewBuilder[any]().WithFailureThreshold(5).WithDelay(time.Second).Build(),
		timeout.New[any](patience),
	)
	call := calling(c, read)
	return func(ctx context.Context) error {
		return executor.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return call(e.Context()) })
	}
}
