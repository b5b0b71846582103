package wrapper_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// within is somebody's wrapper around the client that ours wraps: its call
// wrapper runs nearer to the wire than ours.
type within struct {
	client.Client
	wrap client.CallWrapper
}

func (w within) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	return w.Client.Call(ctx, req, rsp, append(slices.Clip(opts), client.WithCallWrapper(w.wrap))...)
}

// givesUp answers in grpc's place while grpc goes on, as the usual hystrix
// wrapper does: as soon as the request is being executed.
func givesUp(executing func() bool) client.CallWrapper {
	return func(next client.CallFunc) client.CallFunc {
		return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			done := make(chan error, 1)
			go func() { done <- next(ctx, n, req, rsp, opts) }()
			for !executing() {
				select {
				case err := <-done:
					return err
				case <-time.After(time.Millisecond):
				}
			}
			return merrors.InternalServerError("breaker", "hystrix: timeout")
		}
	}
}

// replacesContext loses the options that tell what grpc saw.
func replacesContext(next client.CallFunc) client.CallFunc {
	return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		opts.Context = context.Background()
		return next(ctx, n, req, rsp, opts)
	}
}

// TestNoEvidenceIsNotProof: what grpc has not said to have finished may run, and
// a call that does not bear repeating must not be sent again.
func TestNoEvidenceIsNotProof(t *testing.T) {
	for name, tt := range map[string]struct {
		wrap            func(executing func() bool) client.CallWrapper
		endpoint, value string
	}{
		"gives up early":   {givesUp, fixture.Sleep, "500ms"},
		"replaces context": {func(func() bool) client.CallWrapper { return replacesContext }, fixture.InternalError, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			a := fixture.Start(t, fixture.Config{Transport: fixture.GRPC})
			b := fixture.Start(t, fixture.Config{Transport: fixture.GRPC})
			stock := fixture.NewClient(t, fixture.GRPC, []string{a.Address(), b.Address()})
			executions := func() int { return a.Executions(tt.endpoint) + b.Executions(tt.endpoint) }
			c := wrap(t, within{stock, tt.wrap(func() bool { return executions() > 0 })})
			if _, err := fixture.Call(t.Context(), c, tt.endpoint, tt.value); err == nil {
				t.Error("no error")
			}
			if n := executions(); n != 1 {
				t.Errorf("%d executions", n)
			}
		})
	}
}
