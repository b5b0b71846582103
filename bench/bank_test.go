package bench

import (
	"context"
	"fmt"
	"testing"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// The service that all benchmarks call, and its endpoints: Read is announced
// to be safe, Write to be keyed.
const (
	service = fixture.DefaultService
	read    = "Bank.Read"
	write   = "Bank.Write"
)

// answered is what a call must be answered with.
const answered = "as you wish"

// Bank is the handler: it does nothing, so that all else shows.
type Bank struct{}

// Read answers.
func (Bank) Read(_ context.Context, _, rsp *wrapperspb.StringValue) error {
	rsp.Value = answered
	return nil
}

// Write answers.
func (Bank) Write(_ context.Context, _, rsp *wrapperspb.StringValue) error {
	rsp.Value = answered
	return nil
}

// nodeMetadata is what the nodes of a service say of themselves.
func nodeMetadata(more ...string) map[string]string {
	md := map[string]string{"protocol": "mucp"}
	for i := 0; i < len(more); i += 2 {
		md[more[i]] = more[i+1]
	}
	return md
}

// bank is the service with a node at each address, as the registry shows it.
func bank(metadata map[string]string, addresses ...string) *registry.Service {
	endpoint := func(name string, safety retryfunc.Safety) *registry.Endpoint {
		return &registry.Endpoint{Name: name, Metadata: map[string]string{retryfunc.MetadataSafety: safety.String()}}
	}
	s := &registry.Service{Name: service, Version: "latest", Endpoints: []*registry.Endpoint{
		endpoint(read, retryfunc.SafetySafe), endpoint(write, retryfunc.SafetyKeyed),
	}}
	for _, a := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: a, Address: a, Metadata: metadata})
	}
	return s
}

// selecting makes a client of go-micro's find s by go-micro's own selector.
func selecting(tb testing.TB, s *registry.Service) client.Option {
	tb.Helper()
	reg := fixture.NewRegistry(nil)
	must(tb, reg.Register(s))
	sel, closeSelector, err := fixture.NewSelector(reg)
	must(tb, err)
	tb.Cleanup(func() { must(tb, closeSelector()) })
	return client.Selector(sel)
}

// wrapped is the client with oncemore around it, all defaults.
func wrapped(tb testing.TB, c client.Client, opts ...wrapper.ClientOption) client.Client {
	tb.Helper()
	wrap, err := wrapper.NewClientWrapper(opts...)
	must(tb, err)
	return wrap(c)
}

// calling is a call to endpoint that checks the answer. Like callers' responses
// it is not made anew for each call.
func calling(c client.Client, endpoint string) func(context.Context) error {
	req := c.NewRequest(service, endpoint, wrapperspb.String("please"), client.WithContentType("application/protobuf"))
	rsp := new(wrapperspb.StringValue)
	return func(ctx context.Context) error {
		rsp.Value = ""
		if err := c.Call(ctx, req, rsp); err != nil {
			return err
		}
		return check(rsp)
	}
}

func check(rsp *wrapperspb.StringValue) error {
	if rsp.GetValue() != answered {
		return fmt.Errorf("the answer is %q, want %q", rsp.GetValue(), answered)
	}
	return nil
}
