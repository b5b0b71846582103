package wrapper_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// errSentinel is the error of somebody's own wrapper.
var errSentinel = errors.New("no such account")

// TestErrorsStayWhatTheyWere: whoever compared or asserted the errors of the bare
// client may go on.
func TestErrorsStayWhatTheyWere(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		dead := fixture.RefusedAddress(t)
		for _, tt := range []struct {
			name, address, endpoint, service string
			within                           time.Duration
		}{
			{name: "plain", address: node.Address(), endpoint: fixture.Fail},
			{name: "400", address: node.Address(), endpoint: fixture.BadRequest},
			{name: "500", address: node.Address(), endpoint: fixture.InternalError},
			{name: "unknown endpoint", address: node.Address(), endpoint: "Fixture.Nothing"},
			{name: "refused dial", address: dead, endpoint: fixture.Echo},
			{name: "timeout", address: node.Address(), endpoint: fixture.Sleep, within: 100 * time.Millisecond},
			{name: "no time left", address: node.Address(), endpoint: fixture.Echo, within: time.Nanosecond},
			{name: "unknown service", address: node.Address(), endpoint: fixture.Echo, service: "nobody"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				call := func(c client.Client) error {
					ctx, cancel := withTimeout(t.Context(), tt.within)
					defer cancel()
					req := fixture.NewRequest(c, tt.endpoint, "1s")
					if tt.service != "" {
						req = c.NewRequest(tt.service, tt.endpoint, req.Body())
					}
					return c.Call(ctx, req, new(wrapperspb.StringValue))
				}
				bare := call(fixture.NewClient(t, transport, []string{tt.address}, client.Retries(0)))
				wrapped := call(wrap(t, fixture.NewClient(t, transport, []string{tt.address})))
				sameError(t, wrapped, bare)
			})
		}
	})
}

// sameError compares two errors as the users of go-micro do.
func sameError(t *testing.T, got, want error) {
	t.Helper()
	if got == nil || want == nil {
		t.Fatalf("error %v, bare %v", got, want)
	}
	if got.Error() != want.Error() {
		t.Errorf("text %s, bare %s", got, want)
	}
	_, isGot := got.(*merrors.Error)
	_, isWant := want.(*merrors.Error)
	if isGot != isWant {
		t.Errorf("it is a %T, bare a %T", got, want)
	}
	if like := merrors.Parse(want.Error()); merrors.Equal(want, like) != merrors.Equal(got, like) {
		t.Errorf("errors.Equal says %v, bare %v", merrors.Equal(got, like), merrors.Equal(want, like))
	}
	if g, w := merrors.FromError(got), merrors.FromError(want); g.Code != w.Code || g.Id != w.Id {
		t.Errorf("errors.FromError makes %v of it, bare %v", g, w)
	}
}

// TestSentinelsComeThrough from the wrappers of others, inside ours, call wrappers
// and policies.
func TestSentinelsComeThrough(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		node := fixture.Start(t, fixture.Config{Transport: transport})
		failing := func(client.CallFunc) client.CallFunc {
			return func(context.Context, *registry.Node, client.Request, any, client.CallOptions) error {
				return errSentinel
			}
		}
		policy := func(context.Context, client.Request, int, error) (bool, error) { return false, errSentinel }
		stock := func() client.Client { return fixture.NewClient(t, transport, []string{node.Address()}) }
		for name, call := range map[string]func() error{
			"a wrapper inside": func() error {
				_, err := fixture.Call(t.Context(), wrap(t, refusing{stock()}), fixture.Echo, "")
				return err
			},
			"a call wrapper": func() error {
				_, err := fixture.Call(t.Context(), wrap(t, stock()), fixture.Echo, "", client.WithCallWrapper(failing))
				return err
			},
			"a policy of the call": func() error {
				_, err := fixture.Call(t.Context(), wrap(t, stock()), fixture.Fail, "no", client.WithRetry(policy))
				return err
			},
			"a policy": func() error {
				_, err := fixture.Call(t.Context(), wrap(t, stock(), wrapper.WithPolicy(policy)), fixture.Fail, "no")
				return err
			},
			"a wrapper inside, of a stream": func() error {
				_, err := open(t.Context(), wrap(t, refusing{stock()}), "1")
				return err
			},
		} {
			if err := call(); err != errSentinel {
				t.Errorf("%s: error %#v", name, err)
			}
		}
	})
}

// refusing is somebody's wrapper that knows better.
type refusing struct{ client.Client }

func (refusing) Call(context.Context, client.Request, any, ...client.CallOption) error {
	return errSentinel
}

func (refusing) Stream(context.Context, client.Request, ...client.CallOption) (client.Stream, error) {
	return nil, errSentinel
}
