package wrapper_test

import (
	"testing"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/internal/fixture"
)

// relaying starts an instance that deduplicates and relays what a callee answers,
// and a stock client of it.
func relaying(t *testing.T, transport, callee, calleeTransport string) (*fixture.Node, client.Client) {
	t.Helper()
	node := fixture.Start(t, fixture.Config{
		Transport: transport, Setup: "memory", Relay: callee, RelayTransport: calleeTransport,
		RelayTimeout: time.Second,
	})
	return node, fixture.NewClient(t, transport, []string{node.Address()}, client.Retries(0))
}

// eachPairOfTransports runs a test with a caller and its callee over each.
func eachPairOfTransports(t *testing.T, test func(t *testing.T, outer, inner string)) {
	t.Helper()
	eachTransport(t, func(t *testing.T, outer string) {
		for _, inner := range fixture.Transports() {
			t.Run("callee over "+inner, func(t *testing.T) {
				t.Parallel()
				test(t, outer, inner)
			})
		}
	})
}

// TestCalleesTimeoutIsNotKept: a handler whose callee did not answer in time has no
// answer. When the callee is well again, the same key gets one.
func TestCalleesTimeoutIsNotKept(t *testing.T) {
	eachPairOfTransports(t, func(t *testing.T, outer, inner string) {
		callee := fixture.Start(t, fixture.Config{Transport: inner})
		node, c := relaying(t, outer, callee.Address(), inner)
		if _, err := fixture.Call(keyed(t.Context(), "warm"), c, fixture.Relay, ""); err != nil {
			t.Fatal(err)
		}
		callee.Freeze()
		_, err := fixture.Call(keyed(t.Context(), "k"), c, fixture.Relay, "")
		if e := merrors.FromError(err); err == nil || e.Code != 408 {
			t.Errorf("while the callee is frozen: %v, want its 408", err)
		}
		callee.Thaw()
		if answer, err := fixture.Call(keyed(t.Context(), "k"), c, fixture.Relay, ""); err != nil || answer != callee.ID() {
			t.Errorf("when it is well again: %q, %v; want its answer", answer, err)
		}
		if n := node.Executions(fixture.Relay); n != 3 {
			t.Errorf("%d executions, want the first, the one that was cut off and its repetition", n)
		}
	})
}

// TestWhatACalleeAnsweredIsKept, and that it was not reached is not.
func TestWhatACalleeAnsweredIsKept(t *testing.T) {
	for _, tt := range []struct {
		name, endpoint string
		dead           bool
		runs           int // of two calls
	}{
		{"bad request", fixture.BadRequest, false, 1},
		{"internal error", fixture.InternalError, false, 1},
		{"not reached", fixture.Echo, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachPairOfTransports(t, func(t *testing.T, outer, inner string) {
				address := fixture.RefusedAddress(t)
				if !tt.dead {
					address = fixture.Start(t, fixture.Config{Transport: inner}).Address()
				}
				node, c := relaying(t, outer, address, inner)
				for range 2 {
					if answer, err := fixture.Call(keyed(t.Context(), "k"), c, fixture.Relay, tt.endpoint); err == nil {
						t.Errorf("answered %q, want an error", answer)
					}
				}
				if n := node.Executions(fixture.Relay); n != tt.runs {
					t.Errorf("%d executions, want %d", n, tt.runs)
				}
			})
		})
	}
}
