package bench

import (
	"context"
	"fmt"
	"testing"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/transport"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// wire makes a client of the nodes of s that needs no network.
type wire struct {
	name string
	dial func(tb testing.TB, s *registry.Service) client.Client
}

func wires() []wire {
	return []wire{{"stub", newStub}, {"mucp", newNoNetwork}}
}

// stub is the least that a go-micro client does: it applies the options, lets
// the strategy pick a node, and calls what the call wrappers made of its wire.
type stub struct {
	client.Client // for its name and its requests

	services []*registry.Service
	defaults client.CallOptions
}

func newStub(tb testing.TB, s *registry.Service) client.Client {
	tb.Helper()
	c := fixture.NewClient(tb, fixture.MUCP, nil)
	return &stub{Client: c, services: []*registry.Service{s}, defaults: c.Options().CallOptions}
}

// Call makes one attempt: a retry would be a failed benchmark. The caller's
// context must have a deadline, which go-micro's clients would add.
func (c *stub) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	o := c.defaults
	for _, opt := range opts {
		opt(&o)
	}
	selecting := selector.SelectOptions{Strategy: selector.Random}
	for _, opt := range o.SelectOptions {
		opt(&selecting)
	}
	next := selecting.Strategy(c.services)
	call := client.CallFunc(answer)
	for i := len(o.CallWrappers); i > 0; i-- {
		call = o.CallWrappers[i-1](call)
	}
	if _, err := o.Backoff(ctx, req, 0); err != nil {
		return err
	}
	node, err := next()
	if err != nil {
		return err
	}
	return call(ctx, node, req, rsp, o)
}

func answer(_ context.Context, _ *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
	reply, ok := rsp.(*wrapperspb.StringValue)
	if !ok {
		return fmt.Errorf("the response is a %T", rsp)
	}
	reply.Value = answered
	return nil
}

// newNoNetwork makes go-micro's own client, selector included, over a transport
// that answers at once.
func newNoNetwork(tb testing.TB, s *registry.Service) client.Client {
	tb.Helper()
	reply, err := proto.Marshal(wrapperspb.String(answered))
	must(tb, err)
	return fixture.NewClient(tb, fixture.MUCP, nil, selecting(tb, s),
		client.Transport(noNetwork{transport.NewHTTPTransport(), reply}))
}

type noNetwork struct {
	transport.Transport

	reply []byte
}

func (n noNetwork) Dial(address string, _ ...transport.DialOption) (transport.Client, error) {
	return noConn{address, n.reply}, nil
}

// noConn answers every request. mucp expects the answers in the order of the
// requests, and sends no request before the last one was answered.
type noConn struct {
	address string
	reply   []byte
}

func (c noConn) Recv(m *transport.Message) error {
	m.Header, m.Body = nil, c.reply
	return nil
}

func (noConn) Send(*transport.Message) error { return nil }
func (noConn) Close() error                  { return nil }
func (noConn) Local() string                 { return "" }
func (c noConn) Remote() string              { return c.address }
