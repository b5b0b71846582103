package oncemore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// newService makes a service whose client knows fixture's at the addresses, and
// which reads args as its command line.
func newService(t *testing.T, addresses []string, args ...string) micro.Service {
	t.Helper()
	before := os.Args
	t.Cleanup(func() { os.Args = before })
	os.Args = append([]string{"test"}, args...)
	reg := fixture.NewRegistry(map[string][]string{fixture.DefaultService: addresses})
	sel, closeSelector, err := fixture.NewSelector(reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeSelector(); err != nil {
			t.Error(err)
		}
	})
	return micro.NewService(
		micro.Name("caller"),
		micro.Client(client.NewClient(client.Selector(sel), client.ContentType("application/protobuf"))),
		micro.Registry(reg), micro.Selector(sel),
		micro.Address("127.0.0.1:0"),
	)
}

func newPlugin(t *testing.T, opts ...wrapper.ClientOption) *oncemore.Plugin {
	t.Helper()
	return newPluginWith(t, oncemore.WithClient(opts...))
}

// newPluginWith makes a plugin whose selectors end with the test.
func newPluginWith(t *testing.T, opts ...oncemore.Option) *oncemore.Plugin {
	t.Helper()
	p, err := oncemore.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestAfterInit: service.Init sets the client's retries from the defaults of its
// flags; the plugin's attempts must be in force all the same.
func TestAfterInit(t *testing.T) {
	for name, order := range map[string]func(micro.Service, *oncemore.Plugin){
		"options before the flags": func(s micro.Service, p *oncemore.Plugin) { s.Init(p.Options()...) },
		"options after the flags":  func(s micro.Service, p *oncemore.Plugin) { s.Init(); s.Init(p.Options()...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, []string{fixture.RefusedAddress(t)}, "--client_retries=9")
			order(s, newPlugin(t, wrapper.WithAttempts(2)))
			var e wrapper.Report
			_, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, "", wrapper.WithStory(&e))
			if err == nil || len(e.Attempts) != 2 {
				t.Errorf("error %v, attempts %v", err, e.Attempts)
			}
		})
	}
}

func TestOthersWrappersBeforeAndAfter(t *testing.T) {
	var order []string
	trace := func(name string) client.Wrapper {
		return func(c client.Client) client.Client { return &tracing{Client: c, name: name, order: &order} }
	}
	node := fixture.Start(t, fixture.Config{Transport: fixture.MUCP})
	s := newService(t, []string{node.Address(), fixture.RefusedAddress(t)})
	s.Init(micro.WrapClient(trace("inner")))
	// Keys are trusted so that each attempt has an identity on its pooled
	// connection: go-micro's server, which announces nothing here, may else lose it.
	s.Init(newPlugin(t, wrapper.WithTrustedKeys()).Options()...)
	s.Init(micro.WrapClient(trace("outer")))
	var want []string // a wrapper inside runs once for each attempt
	for range 10 {
		var report wrapper.Report
		if _, err := fixture.Call(t.Context(), s.Client(), fixture.Echo, "", wrapper.WithStory(&report)); err != nil {
			t.Fatal(err)
		}
		want = append(append(want, "outer"), slices.Repeat([]string{"inner"}, len(report.Attempts))...)
	}
	if !slices.Equal(order, want) {
		t.Errorf("10 calls went through %q, want %q", order, want)
	}
	if err := start(t, s); err != nil {
		t.Errorf("the service did not start: %v", err)
	}
}

// tracing is a wrapper like many: it embeds the client, and applies the call
// options to a copy of its own, as go-micro's auth wrapper does.
type tracing struct {
	client.Client
	name  string
	order *[]string
}

func (c *tracing) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	*c.order = append(*c.order, c.name)
	var o client.CallOptions
	for _, opt := range opts {
		opt(&o)
	}
	return c.Client.Call(ctx, req, rsp, opts...)
}

func TestReplacedClientIsAnErrorAtStart(t *testing.T) {
	s := newService(t, []string{"127.0.0.1:1"}, "--client=grpc")
	s.Init(newPlugin(t).Options()...)
	if err := start(t, s); !errors.Is(err, oncemore.ErrClientReplaced) {
		t.Errorf("error %v, want %v", err, oncemore.ErrClientReplaced)
	}

	s = newService(t, []string{"127.0.0.1:1"}, "--client=grpc")
	s.Init()
	s.Init(newPlugin(t).Options()...)
	if err := start(t, s); err != nil {
		t.Errorf("with the plugin applied after the flags: %v", err)
	}
	if got := s.Client().String(); got != "grpc" {
		t.Errorf("client %q", got)
	}
}

func TestAttemptTimeoutAboveTheCallsIsAnErrorAtStart(t *testing.T) {
	for _, tt := range []struct {
		attempt time.Duration
		want    string
	}{
		{4 * time.Second, ""},
		{4*time.Second + 1, "wrapper: WithAttemptTimeout(4.000000001s): must be at most a call's whole time, 4s"},
	} {
		s := newService(t, []string{"127.0.0.1:1"}, "--client_request_timeout=4s")
		s.Init()
		s.Init(newPlugin(t, wrapper.WithAttemptTimeout(tt.attempt)).Options()...)
		err := start(t, s)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("attempts of %v: error %v, want %q", tt.attempt, err, tt.want)
		}
	}
}

// start runs only what a service runs before its server starts.
func start(t *testing.T, s micro.Service) error {
	t.Helper()
	for _, f := range s.Options().BeforeStart {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// TestTwoServicesInOneProcess share go-micro's default client, and each wraps it.
func TestTwoServicesInOneProcess(t *testing.T) {
	sel := fixedSelector{}
	shared := client.NewClient(client.Selector(sel))
	for _, attempts := range []int{1, 2} {
		c := newPlugin(t, wrapper.WithAttempts(attempts)).ClientWrapper()(shared)
		var e wrapper.Report
		_, err := fixture.Call(t.Context(), c, fixture.Echo, "", wrapper.WithStory(&e))
		if err == nil || len(e.Attempts) != attempts {
			t.Errorf("error %v, want %d attempts", err, attempts)
		}
	}
}

// fixedSelector knows one node, at which nothing listens.
type fixedSelector struct{ selector.Selector }

func (fixedSelector) Select(_ string, opts ...selector.SelectOption) (selector.Next, error) {
	o := selector.SelectOptions{Strategy: selector.Random}
	for _, opt := range opts {
		opt(&o)
	}
	node := &registry.Node{Id: "1", Address: "127.0.0.1:1", Metadata: map[string]string{"protocol": "mucp"}}
	return o.Strategy([]*registry.Service{{Name: fixture.DefaultService, Nodes: []*registry.Node{node}}}), nil
}

func (fixedSelector) Mark(string, *registry.Node, error) {}

func TestWrongOptionsAreNamed(t *testing.T) {
	_, err := oncemore.New(oncemore.WithClient(wrapper.WithAttempts(0)))
	if err == nil || !strings.Contains(err.Error(), "WithAttempts(0)") {
		t.Errorf("error %v", err)
	}
	if _, err := oncemore.New(nil); err == nil {
		t.Error("a nil option was taken")
	}
}
