package wrapper_test

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// move takes the only instance out of the client's registry, and after a while
// another one is entered.
func move(t *testing.T, c client.Client, from, to string, gap time.Duration) {
	t.Helper()
	reg := c.Options().Registry
	service := func(address string) *registry.Service {
		return &registry.Service{Name: fixture.DefaultService, Version: "latest", Nodes: []*registry.Node{{
			Id: fixture.DefaultService + "@" + address, Address: address, Metadata: map[string]string{"protocol": "mucp"},
		}}}
	}
	if err := reg.Deregister(service(from)); err != nil {
		t.Error(err)
	}
	time.Sleep(gap)
	if err := reg.Register(service(to)); err != nil {
		t.Error(err)
	}
}

// TestOnlyInstanceMoves to another address while a call has seconds left: the
// registry knows it before the call's time is over.
func TestOnlyInstanceMoves(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, endpoint := range []string{fixture.Echo, fixture.Sleep} {
			for name, gap := range map[string]time.Duration{"at once": 0, "after a gap": 300 * time.Millisecond} {
				t.Run(endpoint+" "+name, func(t *testing.T) {
					old := fixture.Start(t, fixture.Config{Transport: transport})
					moved := fixture.Start(t, fixture.Config{Transport: transport})
					c := wrap(t, fixture.NewClient(t, transport, []string{old.Address()}), fixtureSafety(t))
					old.Kill()
					time.AfterFunc(400*time.Millisecond, func() { move(t, c, old.Address(), moved.Address(), gap) })
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					var report wrapper.Report
					answer, err := fixture.Call(ctx, c, endpoint, "1ms", wrapper.WithStory(&report))
					if err != nil || answer != moved.ID() {
						t.Errorf("answer %q, error %v after %v: %s", answer, err, report.Took, report.Story())
					}
					if got := moved.Executions(endpoint); got != 1 {
						t.Errorf("%d executions", got)
					}
				})
			}
		}
	})
}

// TestUnknownServiceFailsPromptly: nobody waits for what was never there.
func TestUnknownServiceFailsPromptly(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		c := wrap(t, fixture.NewClient(t, transport, nil))
		for name, service := range map[string]string{"unknown": "nobody", "without nodes": fixture.DefaultService} {
			var report wrapper.Report
			req := c.NewRequest(service, fixture.Echo, fixture.NewRequest(c, fixture.Echo, "").Body())
			err := c.Call(t.Context(), req, fixture.NewRequest(c, fixture.Echo, "").Body(), wrapper.WithStory(&report))
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			if report.Took > time.Second {
				t.Errorf("%s: it took %v: %s", name, report.Took, report.Story())
			}
			if len(report.Attempts) != 1 || report.Class() != retryfunc.NoNode {
				t.Errorf("%s: story: %s", name, report.Story())
			}
		}
	})
}
