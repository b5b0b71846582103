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

// TestTimeOfOneAttempt reads the timeouts that an attempt hands to go-micro: all
// that the call has left, unless an attempt timeout was set. On mucp the
// connection timeout has a grace of two seconds. A dial has a share of its own
// while there is another node to go to.
func TestTimeOfOneAttempt(t *testing.T) {
	const (
		grace = 2 * time.Second
		dial  = 1500 * time.Millisecond
	)
	all := []time.Duration{9 * time.Second}
	tests := []struct {
		name     string
		endpoint string
		opts     []wrapper.ClientOption
		call     []client.CallOption
		want     []time.Duration
	}{
		{"a read has all of the call's time", read, nil, nil, []time.Duration{9 * time.Second, 9 * time.Second, 9 * time.Second}},
		{"a write has it all", write, nil, nil, all},
		{"a trusted write has it all", write, []wrapper.ClientOption{wrapper.WithTrustedKeys()}, nil, all},
		{"a trusted write, cut", write, []wrapper.ClientOption{wrapper.WithTrustedKeys(), wrapper.WithAttemptTimeout(time.Second)}, nil,
			[]time.Duration{time.Second}},
		{"as configured", read, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Second)}, nil, []time.Duration{time.Second, time.Second, time.Second}},
		{"not for a write", write, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Second)}, nil, []time.Duration{9 * time.Second}},
		{"never above the call's", read, []wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Hour)}, nil, []time.Duration{9 * time.Second}},
		{"as the call asks", read, nil, []client.CallOption{func(o *client.CallOptions) { o.ConnectionTimeout = 2 * time.Second }}, []time.Duration{2 * time.Second}},
		{"one attempt has it all", read, []wrapper.ClientOption{wrapper.WithAttempts(1)}, nil, []time.Duration{9 * time.Second}},
		{"a policy that retries timeouts", write, []wrapper.ClientOption{wrapper.WithPolicy(retryfunc.OnError)}, nil, all},
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
					if got.ConnectionTimeout != want+grace || got.RequestTimeout != want {
						t.Errorf("attempt %d: connection timeout %v, request timeout %v, want %v",
							i+1, got.ConnectionTimeout, got.RequestTimeout, want)
					}
					dial := dial
					if i == 2 { // there is nowhere else to go
						dial = client.DefaultConnectionTimeout
					}
					if got.DialTimeout != min(want, dial) {
						t.Errorf("attempt %d: dial timeout %v, want %v", i+1, got.DialTimeout, min(want, dial))
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
