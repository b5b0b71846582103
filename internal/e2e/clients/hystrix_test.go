package clients

import (
	"context"
	"testing"
	"time"

	"github.com/go-micro/plugins/v4/wrapper/breaker/hystrix"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestHystrixWrapper puts go-micro's hystrix wrapper inside ours and outside, over
// three instances, one of which is dead: no caller notices, and no call that may
// run once runs twice. It answers in its client's place after a second, and lets
// it go on.
func TestHystrixWrapper(t *testing.T) {
	for _, transport := range fixture.Transports() {
		for _, where := range []string{"inside", "outside"} {
			t.Run(transport+"/"+where, func(t *testing.T) {
				alive := []*fixture.Node{
					fixture.Start(t, fixture.Config{Transport: transport}), fixture.Start(t, fixture.Config{Transport: transport}),
				}
				stock := fixture.NewClient(t, transport, []string{fixture.RefusedAddress(t), alive[0].Address(), alive[1].Address()})
				var c client.Client
				if where == "inside" {
					c = wrap(t, hystrix.NewClientWrapper()(stock))
				} else {
					c = hystrix.NewClientWrapper()(wrap(t, stock))
				}
				const calls = 60
				for range calls {
					if _, err := fixture.Call(t.Context(), c, fixture.Echo, ""); err != nil {
						t.Errorf("a caller noticed: %v", err)
					}
				}
				if got := alive[0].Executions(fixture.Echo) + alive[1].Executions(fixture.Echo); got != calls {
					t.Errorf("%d calls were executed %d times", calls, got)
				}
			})
		}
	}
}

// TestHystrixWrapperGivesUp on an instance that is frozen, and leaves its attempt
// behind: a call that may run twice is answered by another, one that may not is
// not sent again, and no late answer touches the caller's response.
func TestHystrixWrapperGivesUp(t *testing.T) {
	for _, transport := range fixture.Transports() {
		for _, tt := range []struct {
			safety   retryfunc.Safety
			endpoint string // each has a circuit of its own
			again    int
		}{{retryfunc.SafetySafe, fixture.Echo, 1}, {retryfunc.SafetyUnsafe, fixture.Sleep, 0}} {
			t.Run(transport+"/"+tt.safety.String(), func(t *testing.T) {
				frozen, alive := fixture.Start(t, fixture.Config{Transport: transport}), fixture.Start(t, fixture.Config{Transport: transport})
				stock := fixture.NewClient(t, transport, nil, client.Selector(ordered(frozen, alive)))
				c := wrap(t, hystrix.NewClientWrapper()(stock))
				echo := func(n *fixture.Node) {
					if _, err := fixture.Call(t.Context(), stock, fixture.Echo, "", client.WithAddress(n.Address())); err != nil {
						t.Fatal(err)
					}
				}
				echo(frozen) // grpc keeps a connection whose last call went well
				frozen.Freeze()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				var story wrapper.Report
				rsp := new(wrapperspb.StringValue)
				err := c.Call(ctx, fixture.NewRequest(c, tt.endpoint, "1ms"), rsp,
					wrapper.WithStory(&story), wrapper.WithSafety(retryfunc.Every(tt.safety)))
				if (err == nil) != (tt.again > 0) {
					t.Errorf("answer %q, error %v: %s", rsp.GetValue(), err, story.Story())
				}
				if got := alive.Executions(tt.endpoint); got != tt.again {
					t.Errorf("it was executed elsewhere %d times, want %d: %s", got, tt.again, story.Story())
				}
				rsp.Value = "the caller's"
				frozen.Thaw()
				echo(frozen) // after what was left behind
				if got := rsp.GetValue(); got != "the caller's" {
					t.Errorf("somebody wrote %q to the response", got)
				}
			})
		}
	}
}

// ordered selects among instances by their order.
func ordered(nodes ...*fixture.Node) inOrder {
	s := &registry.Service{Name: fixture.DefaultService, Version: "1"}
	for _, n := range nodes {
		s.Nodes = append(s.Nodes, &registry.Node{Id: n.ID(), Address: n.Address(), Metadata: map[string]string{"protocol": "mucp"}})
	}
	return inOrder{services: []*registry.Service{s}}
}
