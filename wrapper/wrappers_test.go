package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-micro/plugins/v4/wrapper/select/roundrobin"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// around is somebody's wrapper that makes a call in its own way.
type around struct {
	client.Client
	call func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error
}

type callNext func(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error

func (a around) Call(ctx context.Context, req client.Request, rsp any, opts ...client.CallOption) error {
	return a.call(a.Client.Call, ctx, req, rsp, opts)
}

func (a around) Stream(ctx context.Context, req client.Request, opts ...client.CallOption) (client.Stream, error) {
	return a.Client.Stream(ctx, req, opts...)
}

// otherWrappers are those that other people put around their clients.
var otherWrappers = []struct {
	name     string
	wrap     client.Wrapper
	blind    bool // calls may fail as they would without ours: it hides what this side of the wire saw, or calls again
	executes int  // how often a call of it executes
}{
	{"passes on", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		return next(ctx, req, rsp, opts...)
	}), false, 1},
	{"roundrobin", roundrobin.NewClientWrapper(), false, 1},
	{"takes the deadline away", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		return next(context.WithoutCancel(ctx), req, rsp, opts...)
	}), false, 1},
	{"replaces the context", otherWrapper(func(next callNext, _ context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		return next(context.Background(), req, rsp, opts...)
	}), false, 1},
	{"replaces the context of the options", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		return next(ctx, req, rsp, append(slices.Clip(opts), client.WithCallWrapper(replacesContext))...)
	}), true, 1},
	{"adds a call wrapper", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		pass := func(next client.CallFunc) client.CallFunc {
			return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
				return next(ctx, n, req, rsp, opts)
			}
		}
		return next(ctx, req, rsp, append(slices.Clip(opts), client.WithCallWrapper(pass))...)
	}), true, 1},
	{"retries", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		if err := next(ctx, req, rsp, opts...); err == nil {
			return nil
		}
		return next(ctx, req, rsp, opts...)
	}), false, 1},
	{"calls twice", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		if err := next(ctx, req, rsp, opts...); err != nil {
			return err
		}
		return next(ctx, req, rsp, opts...)
	}), true, 2},
	{"calls two at once", otherWrapper(atOnce), true, 2},
	{"has a response of its own", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		own := new(wrapperspb.StringValue)
		if err := next(ctx, req, own, opts...); err != nil {
			return err
		}
		proto.Merge(rsp.(proto.Message), own) //nolint:forcetypeassert,errcheck // it is that of this test
		return nil
	}), false, 1},
	{"has an error of its own", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		if err := next(ctx, req, rsp, opts...); err != nil {
			return fmt.Errorf("another wrapper: %w", err)
		}
		return nil
	}), false, 1},
	{"looks at the response", otherWrapper(func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
		before := fmt.Sprint(rsp)
		if err := next(ctx, req, rsp, opts...); err != nil {
			return err
		}
		if after := fmt.Sprint(rsp); after == before {
			return errors.New("the response is as it was before")
		}
		return nil
	}), false, 1},
}

func otherWrapper(call func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error) client.Wrapper {
	return func(c client.Client) client.Client { return around{c, call} }
}

// atOnce makes two calls, and takes the first answer.
func atOnce(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error { //nolint:revive // as in otherWrapper
	type answer struct {
		rsp *wrapperspb.StringValue
		err error
	}
	answers := make(chan answer, 2)
	for range 2 {
		go func() {
			own := new(wrapperspb.StringValue)
			answers <- answer{own, next(ctx, req, own, opts...)}
		}()
	}
	var failed error
	for range 2 {
		a := <-answers
		if a.err == nil {
			proto.Merge(rsp.(proto.Message), a.rsp) //nolint:forcetypeassert,errcheck // it is that of this test
			return nil
		}
		failed = a.err
	}
	return failed
}

// TestOtherWrappers puts each around a client of three instances, one of which is
// dead, and ours outside of it, and inside. No call that may run once runs more
// often than with the other wrapper alone, and none fails, unless that wrapper
// hides why.
func TestOtherWrappers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tt := range otherWrappers {
			for _, where := range []string{"inside", "outside"} {
				t.Run(tt.name+"/"+where, func(t *testing.T) {
					alive := []*fixture.Node{
						fixture.Start(t, fixture.Config{Transport: transport}), fixture.Start(t, fixture.Config{Transport: transport}),
					}
					addresses := []string{fixture.RefusedAddress(t), alive[0].Address(), alive[1].Address()}
					stock := fixture.NewClient(t, transport, addresses)
					var c client.Client
					if where == "inside" {
						c = wrap(t, tt.wrap(stock))
					} else {
						c = tt.wrap(wrap(t, stock))
					}
					const calls = 30
					answered := 0
					for range calls {
						answer, err := fixture.Call(t.Context(), c, fixture.Echo, "")
						switch {
						case err == nil && slices.ContainsFunc(alive, func(n *fixture.Node) bool { return n.ID() == answer }):
							answered++
						case err == nil:
							t.Errorf("answer %q is no instance's", answer)
						case !tt.blind || where == "outside":
							t.Errorf("a caller noticed: %v", err)
						}
					}
					if answered < calls/2 { // bare it is two thirds, and some four ninths where both of two must be
						t.Errorf("%d of %d calls were answered", answered, calls)
					}
					executions := alive[0].Executions(fixture.Echo) + alive[1].Executions(fixture.Echo)
					if most := calls * tt.executes; executions > most {
						t.Errorf("%d calls were executed %d times, want at most %d", calls, executions, most)
					}
					for range 10 {
						streamOnce(t, c)
					}
				})
			}
		}
	})
}

// rotating is a selector that ignores all strategies and filters.
type rotating struct {
	selector.Selector
	nodes []*registry.Node
	last  *atomic.Uint64
}

func (rotating) Init(...selector.Option) error { return nil }

func (r rotating) Select(string, ...selector.SelectOption) (selector.Next, error) {
	return func() (*registry.Node, error) { return r.nodes[r.last.Add(1)%uint64(len(r.nodes))], nil }, nil
}

func (rotating) Mark(string, *registry.Node, error) {}

// TestNodesAreSwitchedThroughOthers: a wrapper inside ours, or a selector, that
// has a way of its own to choose nodes must not switch ours off in silence: a
// dead instance is passed over, and then left alone.
func TestNodesAreSwitchedThroughOthers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tt := range []struct {
			name   string
			wrap   client.Wrapper
			option func(addresses []string) client.Option
		}{
			{"roundrobin", roundrobin.NewClientWrapper(), nil},
			{"a selector that ignores strategies", nil, func(addresses []string) client.Option {
				return client.Selector(rotating{nodes: nodes(addresses...)[0].Nodes, last: new(atomic.Uint64)})
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				alive := fixture.Start(t, fixture.Config{Transport: transport})
				dead := fixture.RefusedAddress(t)
				addresses := []string{dead, alive.Address(), fixture.RefusedAddress(t)}
				var options []client.Option
				if tt.option != nil {
					options = append(options, tt.option(addresses))
				}
				stock := fixture.NewClient(t, transport, addresses, options...)
				if tt.wrap != nil {
					stock = tt.wrap(stock)
				}
				var mu sync.Mutex
				refused := 0
				count := func(_ context.Context, d retryfunc.Decision) {
					mu.Lock()
					defer mu.Unlock()
					if d.Attempt.Class == retryfunc.NotSent {
						refused++
					}
				}
				c := wrap(t, stock, onDecision(count))
				const calls = 60
				began := time.Now()
				for range calls {
					if _, err := fixture.Call(t.Context(), c, fixture.Echo, ""); err != nil {
						t.Errorf("a caller noticed: %v", err)
					}
				}
				// Two refused dials eject an instance; then each is probed once a second.
				if most := 2 * (2 + int(time.Since(began)/time.Second) + 1); refused > most {
					t.Errorf("%d attempts on dead instances, want at most %d", refused, most)
				}
				if got := alive.Executions(fixture.Echo); got != calls {
					t.Errorf("%d calls were executed %d times", calls, got)
				}
			})
		}
	})
}

// TestWrapperThatAnswersItself, from a cache, also where its attempt runs beside
// the loop: its answer is the call's.
func TestWrapperThatAnswersItself(t *testing.T) {
	cached := func(_ callNext, _ context.Context, _ client.Request, rsp any, _ []client.CallOption) error {
		reply(rsp, "cached")
		return nil
	}
	for _, endpoint := range []string{read, write} {
		var seen ends
		wire := new(recorder)
		c := wrap(t, around{wireClient{stock(nodes("a", "b")), wire.wire}, cached}, safety(t), seen.option())
		for range 3 {
			answer, report, err := call(t.Context(), c, endpoint)
			if err != nil || answer != "cached" || len(report.Attempts) != 0 {
				t.Errorf("%s: answer %q, error %v, story %v", endpoint, answer, err, report.Attempts)
			}
		}
		if got := len(wire.addresses()); got != 0 {
			t.Errorf("%s: %d attempts were sent", endpoint, got)
		}
		if got := len(seen.list()); got != 3 {
			t.Errorf("%s: %d ends of 3 calls", endpoint, got)
		}
	}
}

// TestWrapperThatLingers has one inside ours write to the response, and read it,
// long after its call was left: what it has is not the caller's.
func TestWrapperThatLingers(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		var lingered atomic.Int32
		linger := func(next callNext, ctx context.Context, req client.Request, rsp any, opts []client.CallOption) error {
			err := next(ctx, req, rsp, opts...)
			if err != nil {
				time.Sleep(time.Minute)
				reply(rsp, fmt.Sprint("nothing but ", rsp))
				lingered.Add(1)
			}
			return err
		}
		wire := func(ctx context.Context, n *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
			if n.Address == "a" {
				<-ctx.Done()
				return errTimeout
			}
			reply(rsp, n.Address)
			return nil
		}
		c := wrap(t, around{wireClient{inner, wire}, linger}, safety(t), wrapper.WithBreaker(newSet(t)))
		rsp := new(wrapperspb.StringValue)
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := c.Call(ctx, c.NewRequest("bank", read, nil), rsp); err != nil || rsp.GetValue() != "b" {
				t.Errorf("answer %q, error %v", rsp.GetValue(), err)
			}
			cancel()
			for range 10 {
				rsp.Value = "the caller's" // whoever lingers must not see it
				time.Sleep(10 * time.Second)
				if got := rsp.GetValue(); got != "the caller's" {
					t.Errorf("somebody wrote %q to the response", got)
				}
			}
		}
		if lingered.Load() == 0 {
			t.Error("no wrapper lingered")
		}
	})
}

// TestEarlierSendingCounts: a wrapper inside ours has sent the request, and then
// sends it again to an instance that refuses: it may have run all the same, and a
// call that may run once must not be sent a third time.
func TestEarlierSendingCounts(t *testing.T) {
	byName := func(name string) client.Wrapper {
		for _, w := range otherWrappers {
			if w.name == name {
				return w.wrap
			}
		}
		t.Fatalf("there is no wrapper that %s", name)
		return nil
	}
	for _, tt := range []struct {
		name    string
		wrapper string
		answers []error
		sent    int
		fails   bool
	}{
		{"broken, then refused", "retries", []error{errBroken, errRefused, nil}, 2, true},
		{"timed out, then refused", "retries", []error{errTimeout, errRefused, nil}, 2, true},
		{"refused, then broken", "retries", []error{errRefused, errBroken, nil}, 2, true},
		{"refused twice, then answered", "retries", []error{errRefused, errRefused, nil}, 3, false},
		{"answered, then refused", "calls twice", []error{nil, errRefused, nil}, 2, true},
		{"one of two broken", "calls two at once", []error{errBroken, errRefused, nil}, 2, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: tt.answers}
			c := wrap(t, byName(tt.wrapper)(wireClient{stock(nodes("a", "b", "c", "d")), wire.wire}))
			_, report, err := call(t.Context(), c, write)
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %t (%v)", err, tt.fails, report.Attempts)
			}
			if got := len(wire.addresses()); got != tt.sent {
				t.Errorf("sent %d times, want %d: %v", got, tt.sent, report.Attempts)
			}
		})
	}
}
