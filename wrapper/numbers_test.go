package wrapper_test

import (
	"context"
	"math"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestNumbersWithoutEnd: a time that is meant to be none has room for what
// go-micro and we add to it.
func TestNumbersWithoutEnd(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	set := func(change func(*client.CallOptions)) []client.CallOption { return []client.CallOption{change} }
	tests := []struct {
		name   string
		within time.Duration
		opts   []wrapper.ClientOption
		config []client.Option
		call   []client.CallOption
	}{
		{name: "deadline", within: forever},
		{name: "request timeout", call: set(client.WithRequestTimeout(forever))},
		{name: "request timeout of the client", config: []client.Option{client.RequestTimeout(forever)}},
		{name: "attempt timeout", opts: []wrapper.ClientOption{wrapper.WithAttemptTimeout(forever)}},
		{name: "attempt timeout, deadline", within: forever, opts: []wrapper.ClientOption{wrapper.WithAttemptTimeout(forever)}},
		{name: "attempt timeout of the call", call: set(wrapper.WithAttemptTimeout(forever))},
		{name: "connection timeout", call: set(func(o *client.CallOptions) { o.ConnectionTimeout = forever })},
		{name: "dial timeout", call: set(client.WithDialTimeout(forever))},
		{name: "dial timeout of the client", config: []client.Option{client.DialTimeout(forever)}},
		{name: "stream timeout", call: set(func(o *client.CallOptions) { o.StreamTimeout = forever })},
		{name: "all of them", within: forever, opts: []wrapper.ClientOption{wrapper.WithAttemptTimeout(forever)}, call: set(func(o *client.CallOptions) {
			o.RequestTimeout, o.ConnectionTimeout, o.DialTimeout, o.StreamTimeout = forever, forever, forever, forever
		})},
		{name: "no time for dials", call: set(client.WithDialTimeout(-1))},
		{name: "no time given for dials", call: set(client.WithDialTimeout(0))},
		{name: "retries", call: set(client.WithRetries(math.MaxInt))},
	}
	eachTransport(t, func(t *testing.T, transport string) {
		alive := fixture.Start(t, fixture.Config{Transport: transport})
		nodes := []string{fixture.RefusedAddress(t), alive.Address()}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, safety := range []wrapper.ClientOption{fixtureSafety(t), sleepIsSafe(t)} { // Echo is safe, or is not
					c := wrap(t, fixture.NewClient(t, transport, nodes, tt.config...), append(tt.opts, safety)...)
					ctx, cancel := withTimeout(t.Context(), tt.within)
					defer cancel()
					for range 4 {
						var report wrapper.Report
						if _, err := fixture.Call(ctx, c, fixture.Echo, "", append(tt.call, wrapper.WithStory(&report))...); err != nil {
							t.Errorf("error %v: %s", err, report.Story())
						}
						streamOnce(t, c, tt.call...)
					}
				}
			})
		}
	})
}

// withTimeout is context.WithTimeout, or none with 0.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
