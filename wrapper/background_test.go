package wrapper_test

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// TestOthersGoOnInTheBackground: somebody's wrapper inside of ours may go on with its
// context when the call has been answered, to mirror it for instance, as it may with a
// bare client. What waits for the context's end is not left behind for all that.
func TestOthersGoOnInTheBackground(t *testing.T) {
	const life = 2 * time.Second
	for name, ctx := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"no deadline": func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
		"the caller's deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, life)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachTransport(t, func(t *testing.T, transport string) {
				node := fixture.Start(t, fixture.Config{Transport: transport})
				answered, mirrored, over := make(chan struct{}), make(chan error, 1), make(chan struct{})
				mirror := otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
					go func() {
						defer close(over)
						<-answered
						mirrored <- ctx.Err()
						if ctx.Done() != nil {
							<-ctx.Done()
						}
					}()
					return next(ctx, req, rsp, opts...)
				})
				c := wrap(t, mirror(fixture.NewClient(t, transport, []string{node.Address()})))
				ctx, cancel := ctx(context.Background())
				defer cancel()
				if _, err := fixture.Call(ctx, c, fixture.Echo, "", client.WithRequestTimeout(life)); err != nil {
					t.Fatal(err)
				}
				close(answered)
				if err := <-mirrored; err != nil {
					t.Errorf("in the background: %v", err)
				}
				<-over
			})
		})
	}
}
