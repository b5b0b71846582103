package wrapper_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// deafAmong is a fleet of two instances, and a host that drops SYNs beside them.
func deafAmong(t *testing.T, transport string, opts ...wrapper.ClientOption) (c client.Client, alive []*fixture.Node, deaf string) {
	t.Helper()
	deaf = tcpproxy.StartDeaf(t, "").Address()
	addresses := []string{deaf}
	for range 2 {
		n := fixture.Start(t, fixture.Config{Transport: transport})
		alive, addresses = append(alive, n), append(addresses, n.Address())
	}
	return wrap(t, fixture.NewClient(t, transport, addresses), opts...), alive, deaf
}

// TestDeafHostCostsNoUnsafeCall: while nothing was sent the call may go
// elsewhere, whatever it does.
func TestDeafHostCostsNoUnsafeCall(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const calls = 60
		set := newSet(t)
		c, alive, deaf := deafAmong(t, transport, wrapper.WithBreaker(set))
		var (
			group sync.WaitGroup
			met   atomic.Int32
		)
		for range 4 {
			group.Go(func() {
				for range calls / 4 {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					var report wrapper.Report
					if _, err := fixture.Call(ctx, c, fixture.Sleep, "1ms", wrapper.WithStory(&report)); err != nil {
						t.Errorf("a caller noticed: %v: %s", err, report.Story())
					}
					cancel()
					for _, a := range report.Attempts {
						if a.Address != deaf {
							continue
						}
						met.Add(1)
						if a.Class != retryfunc.NotSent {
							t.Errorf("story of the deaf host: %v", a)
						}
					}
				}
			})
		}
		group.Wait()
		if ran := alive[0].Executions(fixture.Sleep) + alive[1].Executions(fixture.Sleep); ran != calls {
			t.Errorf("%d executions of %d calls", ran, calls)
		}
		if met.Load() == 0 {
			t.Error("no call met the deaf host")
		}
		for _, e := range set.Ejected() {
			if e.Refused || e.Event == breaker.Refused {
				t.Errorf("a dial that timed out counts as a refusal: %+v", e)
			}
		}
	})
}

// TestDeafHostCostsNoStream, which has no deadline.
func TestDeafHostCostsNoStream(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		c, _, _ := deafAmong(t, transport)
		for range 12 {
			began := time.Now()
			streamOnce(t, c)
			if took := time.Since(began); took > client.DefaultRequestTimeout/2 {
				t.Errorf("it took %v", took)
			}
		}
	})
}

// TestSlowDials: hosts that take long to connect to, and nothing else, work as
// they do with the bare client.
func TestSlowDials(t *testing.T) {
	const calls = 3
	eachTransport(t, func(t *testing.T, transport string) {
		for _, hosts := range []int{1, 3} {
			for _, share := range []float64{0.4, 0.7} {
				for _, endpoint := range []string{fixture.Echo, fixture.Sleep, fixture.Stream} {
					t.Run(fmt.Sprintf("%s, %d hosts, %v of the time", endpoint, hosts, share), func(t *testing.T) {
						t.Parallel()
						var group sync.WaitGroup
						var bare, wrapped int
						group.Go(func() { bare = dialSlowly(t, transport, hosts, share, endpoint, calls) })
						group.Go(func() { wrapped = dialSlowly(t, transport, hosts, share, endpoint, calls, fixtureSafety(t)) })
						group.Wait()
						if transport == fixture.MUCP && endpoint == fixture.Stream {
							wrapped++ // such a dial cannot go on beside another: the first may be lost
						}
						if wrapped < bare {
							t.Errorf("%d of %d were answered, and %d bare", wrapped, calls, bare)
						}
					})
				}
			}
		}
	})
}

// secured is a server that speaks TLS.
func secured(fixture.Instance) ([]server.Option, error) {
	return []server.Option{server.Transport(transport.NewHTTPTransport(transport.Secure(true)))}, nil
}

// tlsTransport is mucp's with TLS, a configuration for each connection: go-micro
// writes to the one that it is given.
type tlsTransport struct{ transport.Transport }

// Dial shakes hands, too.
func (tlsTransport) Dial(address string, opts ...transport.DialOption) (transport.Client, error) {
	config := &tls.Config{InsecureSkipVerify: true}
	return transport.NewHTTPTransport(transport.TLSConfig(config)).Dial(address, opts...)
}

// dialSlowly makes calls, one after the other, to hosts that take so much of a
// call's two seconds to connect to, and returns how many were answered: by a
// bare client unless there are options.
func dialSlowly(
	t *testing.T, over string, hosts int, share float64, endpoint string, calls int, opts ...wrapper.ClientOption,
) (answered int) {
	t.Helper()
	const whole = 2 * time.Second
	config, own := fixture.Config{Transport: over}, []client.Option{client.Retries(0)}
	if over == fixture.MUCP {
		config.Setup, own = "tls", append(own, client.Transport(tlsTransport{transport.NewHTTPTransport()}))
	}
	node := fixture.Start(t, config)
	var addresses []string
	for range hosts {
		p := tcpproxy.Start(t, node.Address())
		p.Slow(time.Duration(share * float64(whole)))
		addresses = append(addresses, p.Address())
	}
	c := fixture.NewClient(t, over, addresses, own...)
	if len(opts) > 0 {
		c = wrap(t, c, opts...)
	}
	for range calls {
		ctx, cancel := context.WithTimeout(t.Context(), whole)
		if use(ctx, c, endpoint) == nil {
			answered++
		}
		cancel()
	}
	return answered
}

// use makes a call, or opens a stream and receives a message.
func use(ctx context.Context, c client.Client, endpoint string) error {
	if endpoint != fixture.Stream {
		_, err := fixture.Call(ctx, c, endpoint, "1ms")
		return err
	}
	stream, err := open(ctx, c, "1")
	if err != nil {
		return err
	}
	if err := stream.Send(wrapperspb.String("1")); err != nil {
		return err
	}
	if err := stream.Recv(new(wrapperspb.StringValue)); err != nil {
		return err
	}
	return stream.Close()
}

// TestDialsBesideEachOtherSendOnce: two dials of a call that must not run twice
// may end at the same time, and only one of them is used.
func TestDialsBesideEachOtherSendOnce(t *testing.T) {
	const calls = 300
	eachTransport(t, func(t *testing.T, transport string) {
		config, own := fixture.Config{Transport: transport}, []client.Option{client.PoolSize(0)}
		if transport == fixture.MUCP {
			config.Setup, own = "tls", append(own, client.Transport(tlsTransport{}))
		}
		var nodes []*fixture.Node
		var addresses []string
		for _, wait := range []time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond} {
			n := fixture.Start(t, config)
			p := tcpproxy.Start(t, n.Address())
			p.Slow(wait)
			nodes, addresses = append(nodes, n), append(addresses, p.Address())
		}
		budget, err := retryfunc.NewBudget(retryfunc.WithRatio(1))
		if err != nil {
			t.Fatal(err)
		}
		c := wrap(t, fixture.NewClient(t, transport, addresses, own...), wrapper.WithBudget(budget))
		var (
			group                sync.WaitGroup
			begun, met, answered atomic.Int32
		)
		for range 50 {
			group.Go(func() {
				for i := begun.Add(1); i <= calls; i = begun.Add(1) {
					ctx, cancel := context.WithTimeout(fixture.WithRequest(t.Context(), strconv.Itoa(int(i))), 900*time.Millisecond)
					var report wrapper.Report
					if _, err := fixture.Call(ctx, c, fixture.Sleep, "10ms", wrapper.WithStory(&report)); err == nil {
						answered.Add(1)
					}
					cancel()
					if len(report.Attempts) > 1 {
						met.Add(1)
					}
				}
			})
		}
		group.Wait()
		if met.Load() == 0 || answered.Load() == 0 {
			t.Errorf("%d calls were answered, and %d dialled more than once", answered.Load(), met.Load())
		}
		ran := make(map[string]int)
		for _, n := range nodes {
			for _, x := range n.Journal() {
				ran[x.Request]++
			}
		}
		for request, n := range ran {
			if n > 1 {
				t.Errorf("call %s ran %d times", request, n)
			}
		}
		if got := len(ran); got < int(answered.Load()) {
			t.Errorf("%d calls ran, and %d were answered", got, answered.Load())
		}
	})
}

// TestConnectsWhileThePolicyThinks: what is decided about an attempt that was not
// sent lets no other be sent, should it be sent before the decision is made.
func TestConnectsWhileThePolicyThinks(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		config, own := fixture.Config{Transport: transport}, []client.Option{client.PoolSize(0)}
		if transport == fixture.MUCP {
			config.Setup, own = "tls", append(own, client.Transport(tlsTransport{}))
		}
		var nodes []*fixture.Node
		var addresses []string
		for range 2 {
			n := fixture.Start(t, config)
			p := tcpproxy.Start(t, n.Address())
			p.Slow(1200 * time.Millisecond)
			nodes, addresses = append(nodes, n), append(addresses, p.Address())
		}
		ran := func() int {
			return nodes[0].Executions(fixture.Sleep) + nodes[1].Executions(fixture.Sleep)
		}
		asked := make(chan retryfunc.Class, 1)
		policy := func(ctx context.Context, _ client.Request, _ int, _ error) (bool, error) {
			a, _ := retryfunc.AttemptFrom(ctx)
			select {
			case asked <- a.Class:
				for ran() == 0 && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
			default: // only the first time
			}
			return a.Class == retryfunc.NotSent, nil
		}
		c := wrap(t, fixture.NewClient(t, transport, addresses, own...), wrapper.WithPolicy(policy))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var report wrapper.Report
		_, err := fixture.Call(ctx, c, fixture.Sleep, "1500ms", wrapper.WithStory(&report))
		if class := <-asked; class != retryfunc.NotSent {
			t.Errorf("the policy was asked about a %v", class)
		}
		if n := ran(); n != 1 || len(report.Attempts) < 2 {
			t.Errorf("the call ran %d times: %v: %s", n, err, report.Story())
		}
	})
}
