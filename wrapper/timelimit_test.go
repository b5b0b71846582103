package wrapper_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// TestTimeOfOneAttempt reads the timeouts that an attempt hands to go-micro. On
// mucp the connection timeout has a grace of two seconds.
func TestTimeOfOneAttempt(t *testing.T) {
	const grace = 2 * time.Second
	tests := []struct {
		name     string
		endpoint string
		opts     []wrapper.ClientOption
		call     []client.CallOption
		want     []time.Duration
	}{
		{"a read shares the call's time", read, nil, nil, []time.Duration{3 * time.Second, 4500 * time.Millisecond, 9 * time.Second}},
		{"a write has it all", write, nil, nil, []time.Duration{9 * time.Second}},
		{"a vouched write shares it", write, []wrapper.ClientOption{wrapper.WithVouchedKeys()}, nil, []time.Duration{3 * time.Second}},
		{"as configured", read, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Second)}, nil, []time.Duration{time.Second, time.Second, time.Second}},
		{"not for a write", write, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Second)}, nil, []time.Duration{9 * time.Second}},
		{"never above the call's", read, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Hour)}, nil, []time.Duration{9 * time.Second}},
		{"as the call asks", read, nil, []client.CallOption{func(o *client.CallOptions) { o.ConnectionTimeout = 2 * time.Second }}, []time.Duration{2 * time.Second}},
		{"one attempt has it all", read, []wrapper.ClientOption{wrapper.WithAttempts(1)}, nil, []time.Duration{9 * time.Second}},
		{"a policy that retries timeouts", write, []wrapper.ClientOption{wrapper.WithPolicy(retryfunc.OnError)}, nil, []time.Duration{3 * time.Second}},
		{"a policy that does not", read, []wrapper.ClientOption{wrapper.WithPolicy(never)}, nil, []time.Duration{9 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				wire := &recorder{answers: []error{errBroken}}
				c := wrap(t, wireClient{inner, wire.wire}, append(tt.opts, safety(t))...)
				ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
				defer cancel()
				if _, _, err := call(ctx, c, tt.endpoint, tt.call...); err == nil {
					t.Fatal("no error")
				}
				for i, want := range tt.want {
					got := wire.arrived[i].opts
					if got.ConnectionTimeout != want+grace || got.RequestTimeout != want || got.DialTimeout != min(want, client.DefaultConnectionTimeout) {
						t.Errorf("attempt %d: connection timeout %v, request timeout %v, dial timeout %v, want %v",
							i+1, got.ConnectionTimeout, got.RequestTimeout, got.DialTimeout, want)
					}
				}
			})
		})
	}
}

func never(context.Context, client.Request, int, error) (bool, error) { return false, nil }

func TestSlowWriteIsNotCutShort(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		wire := &recorder{}
		c := wrap(t, wireClient{inner, delayed(20*time.Second, wire.wire)}, wrapper.WithAttemptTimeout(time.Second))
		if _, report, err := call(t.Context(), c, write); err != nil || len(report.Attempts) != 1 {
			t.Errorf("attempts %v, error %v", report.Attempts, err)
		}
	})
}

// delayed waits before it lets an attempt reach the wire.
func delayed(d time.Duration, wire client.CallFunc) client.CallFunc {
	return func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
		time.Sleep(d)
		return wire(ctx, node, req, rsp, opts)
	}
}
