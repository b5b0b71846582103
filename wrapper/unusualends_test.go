package wrapper_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// unusual is a client within ours that does something instead of a call, or before it.
type unusual struct {
	client.Client
	do func()
}

func (u unusual) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	u.do()
	return u.Client.Call(ctx, req, rsp, opts...)
}

func (u unusual) Stream(ctx context.Context, req client.Request, opts ...client.CallOption) (client.Stream, error) {
	u.do()
	return u.Client.Stream(ctx, req, opts...)
}

// TestUnusualEndsAreOne: a call, and the opening of a stream, that a panic leaves or the
// end of its goroutine, and one whose loop has gone on without the caller, have one end
// each, and one end of each attempt.
func TestUnusualEndsAreOne(t *testing.T) {
	panicking, exiting := func() { panic("storm") }, runtime.Goexit
	nothing := func() {}
	hedged := []wrapper.ClientOption{wrapper.WithHedge(time.Second)} // such calls are made beside the loop
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		other := fixture.Start(t, fixture.Config{Transport: transport})
		dead := fixture.RefusedAddress(t)
		for _, tt := range []struct {
			name      string
			addresses []string
			endpoint  string
			value     string
			inner     func()
			policy    func()
			stream    bool
			opts      []wrapper.ClientOption
			err       error // of the end; nil: none
		}{
			{"a wrapper panics", []string{node.Address()}, fixture.Echo, "", panicking, nil, false, nil, wrapper.ErrPanicked},
			{"a wrapper ends its goroutine", []string{node.Address()}, fixture.Echo, "", exiting, nil, false, nil, wrapper.ErrPanicked},
			{"a wrapper panics beside the loop", []string{node.Address()}, fixture.Echo, "", panicking, nil, false, hedged, wrapper.ErrPanicked},
			{"a wrapper ends its goroutine beside it", []string{node.Address()}, fixture.Echo, "", exiting, nil, false, hedged, wrapper.ErrPanicked},
			{"a policy panics", []string{dead}, fixture.Echo, "", nothing, panicking, false, nil, wrapper.ErrPanicked},
			{"a policy ends its goroutine", []string{dead}, fixture.Echo, "", nothing, exiting, false, nil, wrapper.ErrPanicked},
			{"handed over", []string{node.Address(), other.Address()}, fixture.Sleep, "700ms", nothing, nil, false, nil, nil},
			{"a wrapper panics, stream", []string{node.Address()}, fixture.Stream, "", panicking, nil, true, nil, wrapper.ErrPanicked},
			{"a policy panics, stream", []string{dead}, fixture.Stream, "", nothing, panicking, true, nil, wrapper.ErrPanicked},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var seen ends
				attempts := new(tracing)
				opts := []wrapper.ClientOption{
					seen.option(), wrapper.WithObserver(attempts), wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)),
				}
				opts = append(opts, tt.opts...)
				if tt.policy != nil {
					opts = append(opts, wrapper.WithPolicy(policyThat(tt.policy)))
				}
				c := wrap(t, unusual{fixture.NewClient(t, transport, tt.addresses), tt.inner}, opts...)
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				raised := aside(func() { reach(ctx, c, tt.endpoint, tt.value, tt.stream) })
				if want := strings.Contains(tt.name, "panics"); want != (raised == "storm") {
					t.Errorf("the caller's goroutine panicked with %v, want the storm: %t", raised, want)
				}
				all := seen.list()
				if len(all) != 1 {
					t.Fatalf("%d ends, want 1", len(all))
				}
				if !errors.Is(all[0].Err, tt.err) || tt.err == nil && all[0].Err != nil {
					t.Errorf("the end's error: got %v, want %v", all[0].Err, tt.err)
				}
				ended := 0
				for _, word := range attempts.all() {
					if wordIsAttempt(word) {
						ended++
					}
				}
				if ended != len(all[0].Attempts) {
					t.Errorf("%d ends of %d attempts: %q", ended, len(all[0].Attempts), attempts.all())
				}
			})
		}
	})
}

// aside runs f in a goroutine of its own, and returns what it panicked with.
func aside(f func()) (raised any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { raised = recover() }()
		f()
	}()
	<-done
	return raised
}

// reach makes a call or opens a stream. How that ends, the observer tells.
func reach(ctx context.Context, c client.Client, endpoint, value string, stream bool) {
	req := fixture.NewRequest(c, endpoint, value)
	if !stream {
		_ = c.Call(ctx, req, new(wrapperspb.StringValue))
		return
	}
	opened, err := c.Stream(ctx, c.NewRequest(fixture.DefaultService, endpoint, req.Body(), client.StreamingRequest()))
	if err == nil {
		_ = opened.Close()
	}
}

func wordIsAttempt(word string) bool { return strings.Contains(word, "→ attempt on") }
