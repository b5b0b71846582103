package wrapper_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// wireClient is a real go-micro client whose attempts end in wire instead of a
// transport: its loop, options, selector and wrappers are go-micro's own.
type wireClient struct {
	client.Client
	wire client.CallFunc
}

func (c wireClient) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	last := func(o *client.CallOptions) {
		o.CallWrappers = append(slices.Clip(o.CallWrappers), func(client.CallFunc) client.CallFunc { return c.wire })
	}
	return c.Client.Call(ctx, req, rsp, append(slices.Clip(opts), last)...)
}

// newWire wraps a client of the given nodes with opts.
func newWire(t testing.TB, nodes []*registry.Service, wire client.CallFunc, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	return wrap(t, wireClient{stock(nodes), wire}, opts...)
}

// stock makes a go-micro client. It starts a goroutine of go-micro's, so that it
// must be made outside of a synctest bubble.
func stock(nodes []*registry.Service) client.Client {
	return client.NewClient(client.Selector(fixedSelector{services: nodes}))
}

func wrap(t testing.TB, c client.Client, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	w, err := wrapper.NewClientWrapper(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w(c)
}

// fixedSelector selects among services that never change, by their order
// unless the call says otherwise.
type fixedSelector struct {
	selector.Selector
	services []*registry.Service
}

func (s fixedSelector) Init(...selector.Option) error { return nil }

func (s fixedSelector) Select(service string, opts ...selector.SelectOption) (selector.Next, error) {
	if s.services == nil {
		return nil, selector.ErrNotFound
	}
	o := selector.SelectOptions{Strategy: inOrder}
	for _, opt := range opts {
		opt(&o)
	}
	services := s.services
	for _, filter := range o.Filters {
		services = filter(services)
	}
	return o.Strategy(services), nil
}

func (s fixedSelector) Mark(string, *registry.Node, error) {}

// inOrder always returns the first node.
func inOrder(services []*registry.Service) selector.Next {
	return func() (*registry.Node, error) {
		for _, s := range services {
			if len(s.Nodes) > 0 {
				return s.Nodes[0], nil
			}
		}
		return nil, selector.ErrNoneAvailable
	}
}

// nodes makes one version of a service with a node at each address.
func nodes(addresses ...string) []*registry.Service {
	s := &registry.Service{Name: "bank", Version: "1"}
	for _, a := range addresses {
		s.Nodes = append(s.Nodes, &registry.Node{Id: a, Address: a, Metadata: map[string]string{"protocol": "mucp"}})
	}
	return []*registry.Service{s}
}

// sent is an attempt as it arrived at the wire.
type sent struct {
	address  string
	metadata metadata.Metadata
	opts     client.CallOptions
}

// recorder is a wire that remembers what arrived and answers as told, the last
// answer again for every attempt after it.
type recorder struct {
	mu      sync.Mutex
	arrived []sent
	answers []error
}

func (r *recorder) wire(ctx context.Context, node *registry.Node, _ client.Request, rsp any, opts client.CallOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	md, _ := metadata.FromContext(ctx)
	r.arrived = append(r.arrived, sent{node.Address, md, opts})
	var err error
	if len(r.answers) > 0 {
		err = r.answers[min(len(r.arrived), len(r.answers))-1]
	}
	if err == nil {
		reply(rsp, node.Address)
	}
	return err
}

// reply answers with value where the response takes one.
func reply(rsp any, value string) {
	if v, ok := rsp.(*wrapperspb.StringValue); ok {
		v.Value = value
	}
}

func (r *recorder) addresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]string, len(r.arrived))
	for i, a := range r.arrived {
		list[i] = a.address
	}
	return list
}

// The errors of go-micro's mucp client, as its source builds them.
var (
	errRefused = merrors.InternalServerError("go.micro.client", "connection error: dial tcp 127.0.0.1:1: connect: connection refused")
	errBroken  = merrors.InternalServerError("go.micro.client.transport", "unexpected EOF")
	errTimeout = merrors.Timeout("go.micro.client", "context deadline exceeded")
)

// read and write are endpoints that safety knows to be safe and not to be.
const (
	read  = "Bank.Balance"
	write = "Bank.Transfer"
)

func safety(t testing.TB) wrapper.ClientOption {
	t.Helper()
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{read: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	return wrapper.WithSafety(rule)
}

// call calls endpoint and returns what was answered and the story.
func call(ctx context.Context, c client.Client, endpoint string, opts ...client.CallOption) (string, wrapper.Report, error) {
	var (
		report wrapper.Report
		rsp    wrapperspb.StringValue
	)
	req := c.NewRequest("bank", endpoint, wrapperspb.String("ann"), client.WithContentType("application/protobuf"))
	err := c.Call(wrapper.WithReport(ctx, &report), req, &rsp, opts...)
	if err != nil {
		return "", report, err
	}
	return rsp.GetValue(), report, nil
}
