// Package misuse does not compile: every line that ends in "wrong" is one that
// the compiler has to refuse, and no other is.
package misuse

import (
	"context"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func oneCall(ctx context.Context, c client.Client, req client.Request) {
	_ = c.Call(ctx, req, nil, wrapper.WithPolicy(retryfunc.Careful))
	_ = c.Call(ctx, req, nil, wrapper.WithAttempts(2))
	_ = c.Call(ctx, req, nil, wrapper.WithoutRetry())
	_ = c.Call(ctx, req, nil, wrapper.WithAttemptTimeout(time.Second))
	_ = c.Call(ctx, req, nil, wrapper.WithBackoff(nil))
	_ = c.Call(ctx, req, nil, wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)))
	_ = c.Call(ctx, req, nil, wrapper.WithCallKey("order-7"))
	_ = c.Call(ctx, req, nil, wrapper.WithStory(nil))
	_ = c.Call(ctx, req, nil, wrapper.WithBudget(nil))       // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithBreaker(nil))      // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithBalancer(nil))     // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithTrustedKeys())     // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithKeyGenerator(nil)) // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithObserver(nil))     // wrong
	_ = c.Call(ctx, req, nil, wrapper.WithLogger(nil))       // wrong
}

func wholeClient() {
	_, _ = wrapper.NewClientWrapper(wrapper.WithPolicy(retryfunc.Careful))
	_, _ = wrapper.NewClientWrapper(wrapper.WithAttempts(2), wrapper.WithBudget(nil))
	_, _ = wrapper.NewClientWrapper(wrapper.WithoutRetry())
	_, _ = wrapper.NewClientWrapper(wrapper.WithAttemptTimeout(time.Second))
	_, _ = wrapper.NewClientWrapper(wrapper.WithBackoff(nil))
	_, _ = wrapper.NewClientWrapper(wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)))
	_, _ = wrapper.NewClientWrapper(wrapper.WithCallKey("order-7")) // wrong
	_, _ = wrapper.NewClientWrapper(wrapper.WithStory(nil))         // wrong
	_, _ = wrapper.NewClientWrapper(client.WithRetries(3))          // wrong
	_, _ = wrapper.NewClientWrapper(client.Retries(3))              // wrong
	_ = client.NewClient(wrapper.WithAttempts(2))                   // wrong
}
