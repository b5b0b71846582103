package wrapper_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestEveryCallHasOneEnd, and that end tells what the caller was told.
func TestEveryCallHasOneEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		dead := fixture.RefusedAddress(t)
		none := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
		deadline := func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 500*time.Millisecond) // enough to connect on a busy machine
		}
		cancel := func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(500*time.Millisecond, cancel)
			return ctx, cancel
		}
		gone := func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}
		noKey := errors.New("no key today")
		for _, tt := range []struct {
			name      string
			addresses []string
			service   string
			endpoint  string
			value     string
			within    func(context.Context) (context.Context, context.CancelFunc)
			wrap      []wrapper.ClientOption
			opts      []client.CallOption
			class     retryfunc.Class // of the last attempt
			fails     bool
		}{
			{"success", []string{node.Address()}, "", fixture.Echo, "", none, nil, nil, retryfunc.None, false},
			{"success on a retry", []string{dead, node.Address()}, "", fixture.Echo, "", none, nil, nil, retryfunc.None, false},
			{"failure", []string{node.Address()}, "", fixture.BadRequest, "", none, nil, nil, retryfunc.Application, true},
			{"refused", []string{dead}, "", fixture.Echo, "", deadline, nil, nil, retryfunc.NotSent, true},
			{"deadline", []string{node.Address()}, "", fixture.Sleep, "3s", deadline, nil, nil, retryfunc.Timeout, true},
			{"cancel", []string{node.Address()}, "", fixture.Sleep, "3s", cancel, nil, nil, retryfunc.Canceled, true},
			{"cancelled before", []string{node.Address()}, "", fixture.Echo, "", gone, nil, nil, retryfunc.None, true},
			{"unknown service", []string{node.Address()}, "nobody", fixture.Echo, "", deadline, nil, nil, retryfunc.NoNode, true},
			{"no instance", []string{}, "", fixture.Echo, "", deadline, nil, nil, retryfunc.NoNode, true},
			{"invalid key", []string{node.Address()}, "", fixture.Echo, "", func(ctx context.Context) (context.Context, context.CancelFunc) {
				return idempotency.WithKey(ctx, "not a key"), func() {}
			}, nil, nil, retryfunc.None, true},
			{"no key", []string{node.Address()}, "", fixture.Echo, "", none,
				[]wrapper.ClientOption{wrapper.WithKeyGenerator(func() (string, error) { return "", noKey })}, nil, retryfunc.None, true},
			{"wrong option", []string{node.Address()}, "", fixture.Echo, "", none, nil, []client.CallOption{wrapper.WithAttempts(0)}, retryfunc.None, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var seen ends
				c := wrap(t, fixture.NewClient(t, transport, tt.addresses), append(tt.wrap, seen.option())...)
				service := tt.service
				if service == "" {
					service = fixture.DefaultService
				}
				ctx, cancel := tt.within(t.Context())
				defer cancel()
				req := fixture.NewRequest(c, tt.endpoint, tt.value)
				if tt.service != "" {
					req = c.NewRequest(service, tt.endpoint, req.Body())
				}
				err := c.Call(ctx, req, new(wrapperspb.StringValue), tt.opts...)
				if (err != nil) != tt.fails {
					t.Errorf("error %v, want one: %t", err, tt.fails)
				}
				checkEnd(t, &seen, service, tt.endpoint, err, tt.class)
			})
		}
	})
}

// TestEveryOpeningHasOneEnd: a stream's end is that of its opening.
func TestEveryOpeningHasOneEnd(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		dead := fixture.RefusedAddress(t)
		for _, tt := range []struct {
			name      string
			addresses []string
			service   string
			gone      bool
			opts      []client.CallOption
			class     retryfunc.Class
			fails     bool
		}{
			{"success", []string{node.Address()}, "", false, nil, retryfunc.None, false},
			{"success on a retry", []string{dead, node.Address()}, "", false, nil, retryfunc.None, false},
			{"refused", []string{dead}, "", false, nil, retryfunc.NotSent, true},
			{"cancelled before", []string{node.Address()}, "", true, nil, retryfunc.None, true},
			{"unknown service", []string{node.Address()}, "nobody", false, nil, retryfunc.NoNode, true},
			{"wrong option", []string{node.Address()}, "", false, []client.CallOption{wrapper.WithAttempts(0)}, retryfunc.None, true},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var seen ends
				c := wrap(t, fixture.NewClient(t, transport, tt.addresses), seen.option())
				service := tt.service
				if service == "" {
					service = fixture.DefaultService
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if tt.gone {
					cancel()
				}
				req := c.NewRequest(service, fixture.Stream, new(wrapperspb.StringValue), client.StreamingRequest())
				stream, err := c.Stream(ctx, req, tt.opts...)
				if err == nil {
					defer func() { _ = stream.Close() }()
				}
				if (err != nil) != tt.fails {
					t.Errorf("error %v, want one: %t", err, tt.fails)
				}
				checkEnd(t, &seen, service, fixture.Stream, err, tt.class)
			})
		}
	})
}

func checkEnd(t *testing.T, seen *ends, service, endpoint string, err error, class retryfunc.Class) {
	t.Helper()
	all := seen.list()
	if len(all) != 1 {
		t.Fatalf("%d ends, want 1: %v", len(all), all)
	}
	got := all[0]
	if got.Err != err {
		t.Errorf("the end's error: got %v, want the caller's, %v", got.Err, err)
	}
	if got.Service != service || got.Endpoint != endpoint {
		t.Errorf("the end is one of %s/%s, want %s/%s", got.Service, got.Endpoint, service, endpoint)
	}
	if got.Class() != class {
		t.Errorf("the end's class: got %v, want %v: %s", got.Class(), class, got.Story())
	}
	if got.Took <= 0 {
		t.Errorf("the call took %v", got.Took)
	}
}
