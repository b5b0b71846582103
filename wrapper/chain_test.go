package wrapper_test

import (
	"context"
	"os"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// The environment of an instance that calls the next one.
const (
	envNext     = "HOP_NEXT"     // its address
	envEndpoint = "HOP_ENDPOINT" // and what is called there
	envWrapped  = "HOP_WRAPPED"  // set: by a wrapped client
)

// hopGo is the endpoint of Hop.
const hopGo = "Hop.Go"

// Hop is a handler that makes the same call of the next instance.
type Hop struct {
	client   client.Client
	endpoint string
}

// Go makes it, under the caller's context.
func (h *Hop) Go(ctx context.Context, req, rsp *wrapperspb.StringValue) (err error) {
	rsp.Value, err = fixture.Call(ctx, h.client, h.endpoint, req.GetValue())
	return err
}

// hop adds Hop to an instance.
func hop(i fixture.Instance) ([]server.Option, error) {
	c, err := hopClient(i.Transport, os.Getenv(envNext))
	if err != nil {
		return nil, err
	}
	i.Handle(&Hop{client: c, endpoint: os.Getenv(envEndpoint)})
	return nil, nil
}

func hopClient(transport, address string) (client.Client, error) {
	reg := fixture.NewRegistry(map[string][]string{fixture.DefaultService: {address}})
	sel, _, err := fixture.NewSelector(reg) // until the process ends
	if err != nil {
		return nil, err
	}
	opts := []client.Option{
		client.Selector(sel), client.Registry(reg), client.Broker(broker.NewMemoryBroker()), client.Retries(0),
	}
	if os.Getenv(envWrapped) != "" {
		w, err := hopWrapper()
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.Wrap(w))
	}
	if transport == fixture.GRPC {
		return grpcclient.NewClient(opts...), nil
	}
	return client.NewClient(append(opts, client.ContentType("application/protobuf"))...), nil
}

func hopWrapper() (client.Wrapper, error) {
	safety, err := retryfunc.Endpoints(map[string]retryfunc.Safety{
		hopGo: retryfunc.SafetySafe, fixture.Sleep: retryfunc.SafetySafe,
	})
	if err != nil {
		return nil, err
	}
	return wrapper.NewClientWrapper(wrapper.WithSafety(safety))
}

// startChain starts a, b and c, and returns a's client and c.
func startChain(t *testing.T, transport string, wrapped bool) (client.Client, *fixture.Node) {
	t.Helper()
	env := []string{envWrapped + "="}
	if wrapped {
		env[0] += "yes"
	}
	next := func(n *fixture.Node, endpoint string) fixture.Config {
		return fixture.Config{
			Transport: transport, Setup: "hop", Env: append([]string{envNext + "=" + n.Address(), envEndpoint + "=" + endpoint}, env...),
		}
	}
	c := fixture.Start(t, fixture.Config{Transport: transport})
	b := fixture.Start(t, next(c, fixture.Sleep))
	a := fixture.Start(t, next(b, hopGo))
	edge := fixture.NewClient(t, transport, []string{a.Address()}, client.Retries(0))
	if wrapped {
		w, err := hopWrapper()
		if err != nil {
			t.Fatal(err)
		}
		edge = w(edge)
	}
	return edge, c
}

// TestChain: edge→a→b→c, each with a client of its own. What c takes is little of
// the second that the edge has, and stays so though each of them shares its time
// out among attempts.
func TestChain(t *testing.T) {
	const calls = 20
	eachTransport(t, func(t *testing.T, transport string) {
		answered, executions := make(map[bool]int32), make(map[bool]int)
		for _, wrapped := range []bool{false, true} {
			edge, c := startChain(t, transport, wrapped)
			for range calls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				if _, err := fixture.Call(ctx, edge, hopGo, "60ms"); err == nil {
					answered[wrapped]++
				}
				cancel()
			}
			executions[wrapped] = c.Executions(fixture.Sleep)
		}
		bare, got := calls-answered[false], calls-answered[true]
		if got > bare+noise(bare) {
			t.Errorf("%d of %d calls failed, and %d of the bare clients", got, calls, bare)
		}
		if got, most := executions[true], executions[false]+calls/4; got > most {
			t.Errorf("c executed %d times, want at most %d", got, most)
		}
	})
}

// TestChainThatHangs: each of the chain has one instance, so that whoever is asked
// again is the one that hangs.
func TestChainThatHangs(t *testing.T) {
	const calls = 4
	eachTransport(t, func(t *testing.T, transport string) {
		edge, c := startChain(t, transport, true)
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := fixture.Call(ctx, edge, hopGo, "1ms")
			return err
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		before := c.Executions(fixture.Sleep)
		c.Freeze()
		for range calls {
			if err := call(); err == nil {
				t.Fatal("a call was answered by a frozen instance")
			}
		}
		c.Thaw()
		for deadline := time.Now().Add(10 * time.Second); call() != nil; {
			if time.Now().After(deadline) {
				t.Fatal("no call is answered after the thaw")
			}
		}
		if got := c.Executions(fixture.Sleep) - before - 1; got > calls {
			t.Errorf("c executed %d times for %d calls that it did not answer", got, calls)
		}
	})
}
