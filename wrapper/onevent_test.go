package wrapper_test

import (
	"context"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// onDecision is an observer of decisions alone.
func onDecision(see func(context.Context, retryfunc.Decision)) wrapper.ClientOption {
	return wrapper.WithObserver(wrapper.ObserverFunc(func(ctx context.Context, e wrapper.Event) {
		if d, ok := e.(*wrapper.Decided); ok {
			see(ctx, d.Decision)
		}
	}))
}

// onCallEnd is an observer of the ends of calls alone.
func onCallEnd(see func(context.Context, wrapper.CallEnded)) wrapper.ClientOption {
	return wrapper.WithObserver(wrapper.ObserverFunc(func(ctx context.Context, e wrapper.Event) {
		if end, ok := e.(*wrapper.CallEnded); ok {
			see(ctx, *end)
		}
	}))
}

// awaitTrue waits until something is so.
func awaitTrue(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to be in ten seconds")
		}
	}
}
