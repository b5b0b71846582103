// Package httpclient shows what the wrapper does for go-micro's http client, which
// dials and decides in ways of its own.
package httpclient

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	httpclient "github.com/go-micro/plugins/v4/client/http"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// go-micro dials for a stream without a timeout, and does not end that with its context.
const dialsForStream = "github.com/go-micro/plugins/v4/client/http.(*httpClient).stream"

func TestMain(m *testing.M) {
	fixture.Main(m, fixture.WithLeakOptions(leak.Hystrix()...), fixture.WithLeakOptions(goleak.IgnoreAnyFunction(dialsForStream)))
}

// service is the one that is called. Its endpoint get is safe, and post is not.
const (
	service = "shop"
	get     = "/get"
	post    = "/post"
)

// answer is what every endpoint answers.
type answer struct {
	Instance string `json:"instance"`
}

// instance is an HTTP server that counts what it executes.
type instance struct {
	address    string
	executions atomic.Int32
}

func start(t *testing.T) *instance {
	t.Helper()
	i := new(instance)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.executions.Add(1)
		_, _ = fmt.Fprintf(w, `{"instance":%q}`, i.address)
	}))
	i.address = strings.TrimPrefix(server.URL, "http://")
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return i
}

// newClient returns go-micro's client of some addresses.
func newClient(t *testing.T, addresses ...string) client.Client {
	t.Helper()
	reg := fixture.NewRegistry(nil)
	nodes := make([]*registry.Node, len(addresses))
	for i, address := range addresses {
		nodes[i] = &registry.Node{Id: address, Address: address, Metadata: map[string]string{"protocol": "http"}}
	}
	if err := reg.Register(&registry.Service{Name: service, Version: "1", Nodes: nodes}); err != nil {
		t.Fatal(err)
	}
	sel, closeSelector, err := fixture.NewSelector(reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeSelector(); err != nil {
			t.Error(err)
		}
	})
	return httpclient.NewClient(client.Selector(sel), client.Registry(reg), client.ContentType("application/json"), client.Retries(1))
}

func wrap(t *testing.T, c client.Client, opts ...wrapper.ClientOption) client.Client {
	t.Helper()
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{get: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	w, err := wrapper.NewClientWrapper(append(opts, wrapper.WithSafety(rule))...)
	if err != nil {
		t.Fatal(err)
	}
	return w(c)
}

func call(ctx context.Context, c client.Client, endpoint string, opts ...client.CallOption) (string, error) {
	var rsp answer
	err := c.Call(ctx, c.NewRequest(service, endpoint, map[string]string{"item": "book"}), &rsp, opts...)
	if err != nil {
		return "", err
	}
	return rsp.Instance, nil
}

// TestRefusedDialsCostNobody: nothing was sent, whatever the call does.
func TestRefusedDialsCostNobody(t *testing.T) {
	for _, endpoint := range []string{get, post} {
		t.Run(endpoint, func(t *testing.T) {
			const calls = 40
			alive := start(t)
			c := wrap(t, newClient(t, fixture.RefusedAddress(t), alive.address))
			for range calls {
				var report wrapper.Report
				if _, err := call(t.Context(), c, endpoint, wrapper.WithStory(&report)); err != nil {
					t.Errorf("error %v: %s", err, report.Story())
				}
			}
			if got := alive.executions.Load(); got != calls {
				t.Errorf("%d executions of %d calls", got, calls)
			}
		})
	}
}

// TestDeafHostCostsNobody: it neither accepts nor refuses.
func TestDeafHostCostsNobody(t *testing.T) {
	for _, endpoint := range []string{get, post} {
		t.Run(endpoint, func(t *testing.T) {
			const calls = 20
			alive, deaf := start(t), tcpproxy.StartDeaf(t, "").Address()
			set, err := breaker.New()
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			c := wrap(t, newClient(t, deaf, alive.address), wrapper.WithBreaker(set))
			met := 0
			for range calls {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				var report wrapper.Report
				if _, err := call(ctx, c, endpoint, wrapper.WithStory(&report)); err != nil {
					t.Errorf("error %v: %s", err, report.Story())
				}
				cancel()
				if len(report.Attempts) > 1 {
					met++
				}
			}
			if met == 0 {
				t.Error("no call met the deaf host")
			}
			if got := alive.executions.Load(); got != calls {
				t.Errorf("%d executions of %d calls", got, calls)
			}
			for _, e := range set.Ejected() {
				if e.Refused {
					t.Errorf("a dial that timed out counts as a refusal: %+v", e)
				}
			}
		})
	}
}

// TestSlowDials: hosts that hear the second SYN only, after a second, answer as
// they do bare. One call may be lost where the dial cannot go on beside another:
// net/http sends as soon as it has a connection.
func TestSlowDials(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{get, post} {
		for hosts := 1; hosts <= 3; hosts++ {
			t.Run(fmt.Sprintf("%s, %d hosts", endpoint, hosts), func(t *testing.T) {
				t.Parallel()
				bare := dialSlowly(t, hosts, endpoint, func(c client.Client) client.Client { return c })
				wrapped := dialSlowly(t, hosts, endpoint, func(c client.Client) client.Client { return wrap(t, c) })
				if wrapped < bare {
					t.Errorf("%d calls were answered, and %d bare", wrapped, bare)
				}
			})
		}
	}
}

// dialSlowly makes calls to hosts that are deaf for the first of them.
func dialSlowly(t *testing.T, hosts int, endpoint string, wrapped func(client.Client) client.Client) (answered int) {
	t.Helper()
	alive := start(t)
	var addresses []string
	for range hosts {
		p := tcpproxy.StartDeaf(t, alive.address)
		time.AfterFunc(900*time.Millisecond, p.Hear)
		addresses = append(addresses, p.Address())
	}
	c := wrapped(newClient(t, addresses...))
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		if _, err := call(ctx, c, endpoint); err == nil {
			answered++
		}
		cancel()
	}
	return answered
}

// TestStreamsOpen past hosts that refuse and hosts that say nothing.
func TestStreamsOpen(t *testing.T) {
	for name, host := range map[string]func(*testing.T) string{
		"refuses": func(t *testing.T) string { t.Helper(); return fixture.RefusedAddress(t) },
		"is deaf": func(t *testing.T) string { t.Helper(); return tcpproxy.StartDeaf(t, "").Address() },
	} {
		t.Run(name, func(t *testing.T) {
			c := wrap(t, newClient(t, host(t), start(t).address))
			for range 8 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				stream, err := c.Stream(ctx, c.NewRequest(service, post, nil, client.StreamingRequest()))
				if err != nil {
					t.Errorf("error %v", err)
				} else if err := stream.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				cancel()
			}
		})
	}
}

// TestNumbersWithoutEnd: a time that is meant to be none has room for what is added.
func TestNumbersWithoutEnd(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	c := wrap(t, newClient(t, fixture.RefusedAddress(t), start(t).address), wrapper.WithAttemptTimeout(forever))
	ctx, cancel := context.WithTimeout(t.Context(), forever)
	defer cancel()
	for _, endpoint := range []string{get, post} {
		for range 4 {
			opt := func(o *client.CallOptions) {
				o.RequestTimeout, o.ConnectionTimeout, o.DialTimeout, o.StreamTimeout = forever, forever, forever, forever
			}
			if _, err := call(ctx, c, endpoint, opt); err != nil {
				t.Errorf("%s: %v", endpoint, err)
			}
		}
	}
}

// TestErrorsStayWhatTheyWere: a refused dial reads as it does bare.
func TestErrorsStayWhatTheyWere(t *testing.T) {
	dead := fixture.RefusedAddress(t)
	_, bare := call(t.Context(), newClient(t, dead), get)
	_, wrapped := call(t.Context(), wrap(t, newClient(t, dead)), get)
	if bare == nil || wrapped == nil {
		t.Fatalf("error %v, bare %v", wrapped, bare)
	}
	if wrapped.Error() != bare.Error() {
		t.Errorf("text %s, bare %s", wrapped, bare)
	}
	if like := merrors.Parse(bare.Error()); merrors.Equal(wrapped, like) != merrors.Equal(bare, like) {
		t.Errorf("errors.Equal says %v, bare %v", merrors.Equal(wrapped, like), merrors.Equal(bare, like))
	}
}
