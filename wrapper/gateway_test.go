package wrapper_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/server"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// envCode is the code that a Gateway answers, or UNAVAILABLE for grpc's own.
const envCode = "GATEWAY_CODE"

// Gateway is a handler in front of two instances, in turn, the first of which is
// gone.
type Gateway struct {
	failure error
	asked   atomic.Int64
}

// The endpoints of a Gateway: one that may be repeated, and one that may not.
const (
	gatewayGet  = "Gateway.Get"
	gatewayPost = "Gateway.Post"
)

// Get answers every other time.
func (g *Gateway) Get(_ context.Context, _, rsp *wrapperspb.StringValue) error {
	asked := g.asked.Add(1)
	rsp.Value = strconv.FormatInt(asked, 10)
	if asked%2 == 1 {
		return g.failure
	}
	return nil
}

// Post does the same.
func (g *Gateway) Post(ctx context.Context, req, rsp *wrapperspb.StringValue) error {
	return g.Get(ctx, req, rsp)
}

// gateway adds a Gateway to an instance.
func gateway(i fixture.Instance) ([]server.Option, error) {
	if os.Getenv(envCode) == "UNAVAILABLE" {
		i.Handle(&Gateway{failure: status.Error(codes.Unavailable, "no healthy upstream")})
		return nil, nil
	}
	code, err := strconv.ParseInt(os.Getenv(envCode), 10, 32)
	if err != nil {
		return nil, err
	}
	if code == 0 {
		return nil, errors.New("no code")
	}
	i.Handle(&Gateway{failure: merrors.New("gateway", "no healthy upstream", int32(code))})
	return nil, nil
}

// TestGateways: what a proxy answers in the place of an instance that is gone is
// retried where the call may be repeated, and nowhere else.
func TestGateways(t *testing.T) {
	const calls = 20
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{gatewayGet: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	eachTransport(t, func(t *testing.T, transport string) {
		for _, code := range []string{"502", "503", "504", "UNAVAILABLE"} {
			if code == "UNAVAILABLE" && transport != fixture.GRPC {
				continue // mucp knows no such thing
			}
			for _, by := range []string{"address of the node", "MICRO_PROXY"} {
				t.Run(code+" by "+by, func(t *testing.T) {
					node := fixture.Start(t, fixture.Config{Transport: transport, Setup: "gateway", Env: []string{envCode + "=" + code}})
					addresses := []string{node.Address()}
					if by == "MICRO_PROXY" {
						t.Setenv(by, node.Address())
						addresses = []string{fixture.RefusedAddress(t)}
					}
					bare := fixture.NewClient(t, transport, addresses, client.Retries(0))
					if got := answered(t, bare, gatewayPost, calls); got != calls/2 {
						t.Fatalf("the gateway answers %d of %d calls", got, calls)
					}
					c := wrap(t, fixture.NewClient(t, transport, addresses), wrapper.WithSafety(rule))
					if got := answered(t, c, gatewayGet, calls); got != calls {
						t.Errorf("%d of %d safe calls were answered", got, calls)
					}
					if got := answered(t, c, gatewayPost, calls); got != calls/2 {
						t.Errorf("%d of %d calls that may run once were answered, and %d bare", got, calls, calls/2)
					}
				})
			}
		}
	})
}

// answered makes calls one after the other, and counts those that were answered.
func answered(t *testing.T, c client.Client, endpoint string, calls int) (n int) {
	t.Helper()
	for range calls {
		if _, err := fixture.Call(t.Context(), c, endpoint, ""); err == nil {
			n++
		}
	}
	return n
}

// TestGatewayIsNoSuccess: that a proxy answers in the place of its instance does not
// end a row of failures.
func TestGatewayIsNoSuccess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer error
		open   bool
	}{
		{"502", merrors.New("gateway", "no", 502), true},
		{"503", merrors.New("gateway", "no", 503), true},
		{"504", merrors.New("gateway", "no", 504), true},
		{"404", merrors.NotFound("bank", "no such account"), false},
		{"success", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := newSet(t)
			wire := &recorder{answers: []error{errBroken, errBroken, errBroken, errBroken, tt.answer, errBroken, nil}}
			c := newWire(t, nodes("a"), wire.wire, wrapper.WithBreaker(set))
			for range 6 {
				_, _, _ = call(t.Context(), c, write) // five of which fail
			}
			if got := set.AnyOpen(); got != tt.open {
				t.Errorf("ejected: %v, want %v", got, tt.open)
			}
		})
	}
}
