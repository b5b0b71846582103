package wrapper_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestWrongOptions(t *testing.T) {
	tests := []struct {
		option wrapper.ClientOption
		want   string
	}{
		{wrapper.WithAttempts(0), "WithAttempts(0): must be 1 to 100"},
		{wrapper.WithAttempts(-1), "WithAttempts(-1): must be 1 to 100"},
		{wrapper.WithAttempts(101), "WithAttempts(101): must be 1 to 100"},
		{wrapper.WithAttemptTimeout(-time.Second), "WithAttemptTimeout(-1s): must be 0"},
		{wrapper.WithPolicy(nil), "WithPolicy(<nil>): must be a retry function"},
		{wrapper.WithBudget(nil), "WithBudget(<nil>): must be a budget"},
		{wrapper.WithBackoff(nil), "WithBackoff(<nil>): must be a backoff"},
		{wrapper.WithBreaker(nil), "WithBreaker(<nil>): must be a set"},
		{wrapper.WithBalancer(nil), "WithBalancer(<nil>): must be a balancer"},
		{wrapper.WithSafety(nil), "WithSafety(<nil>): must be a rule"},
		{wrapper.WithKeyGenerator(nil), "WithKeyGenerator(<nil>): must be a function"},
		{wrapper.WithObserver(nil), "WithObserver(<nil>): must be an observer such as an ObserverFunc"},
		{wrapper.WithHedge(0), "WithHedge(0s): must be a positive duration"},
		{wrapper.WithHedge(-time.Millisecond), "WithHedge(-1ms): must be a positive duration"},
		{wrapper.WithAdaptiveHedge(0, time.Millisecond, time.Second), "WithAdaptiveHedge(0, 1ms, 1s): must be a quantile between 0 and 1"},
		{wrapper.WithAdaptiveHedge(1, time.Millisecond, time.Second), "WithAdaptiveHedge(1, 1ms, 1s): must be a quantile between 0 and 1"},
		{wrapper.WithAdaptiveHedge(95, time.Millisecond, time.Second), "WithAdaptiveHedge(95, 1ms, 1s): must be a quantile between 0 and 1"},
		{wrapper.WithAdaptiveHedge(math.NaN(), time.Millisecond, time.Second), "WithAdaptiveHedge(NaN, 1ms, 1s): must be a quantile between 0 and 1"},
		{wrapper.WithAdaptiveHedge(0.95, time.Second, time.Millisecond), "WithAdaptiveHedge(0.95, 1s, 1ms): must be a least delay from 0 to the longest"},
		{wrapper.WithAdaptiveHedge(0.95, -1, time.Second), "WithAdaptiveHedge(0.95, -1ns, 1s): must be a least delay from 0"},
		{wrapper.WithAdaptiveHedge(0.95, 0, 0), "WithAdaptiveHedge(0.95, 0s, 0s): must be a least delay from 0"},
		{wrapper.WithHedgeBudget(nil), "WithHedgeBudget(<nil>): must be a budget"},
		{nil, "nil option"},
	}
	for _, tt := range tests {
		_, err := wrapper.NewClientWrapper(tt.option)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}

func TestEveryWrongOptionIsNamed(t *testing.T) {
	_, err := wrapper.NewClientWrapper(wrapper.WithAttempts(0), wrapper.WithObserver(nil))
	if err == nil || !strings.Contains(err.Error(), "WithAttempts") || !strings.Contains(err.Error(), "WithObserver") {
		t.Errorf("error %v", err)
	}
}

// TestHedgeThatNeverBegins is an error at start: it comes after the attempt's own
// timeout, or that of the call.
func TestHedgeThatNeverBegins(t *testing.T) {
	cut := wrapper.WithAttemptTimeout(time.Second)
	for _, tt := range []struct {
		hedge   wrapper.ClientOption
		options []wrapper.ClientOption
		want    string // "": it begins
		check   bool   // only the client's own options tell
	}{
		{wrapper.WithHedge(time.Second), []wrapper.ClientOption{cut}, "WithHedge(1s): must be less than the attempt timeout, 1s", false},
		{wrapper.WithHedge(999 * time.Millisecond), []wrapper.ClientOption{cut}, "", false},
		{wrapper.WithAdaptiveHedge(0.9, 2*time.Second, time.Hour), []wrapper.ClientOption{cut}, "WithAdaptiveHedge(2s): must be less than the attempt timeout, 1s", false},
		{wrapper.WithAdaptiveHedge(0.9, time.Millisecond, time.Hour), []wrapper.ClientOption{cut}, "", false},
		{wrapper.WithHedge(5 * time.Second), nil, "WithHedge(5s): must be less than a call's whole time (client.RequestTimeout), 5s", true},
		{wrapper.WithHedge(4 * time.Second), nil, "", true},
	} {
		wrap, err := wrapper.NewClientWrapper(append(tt.options, tt.hedge)...)
		if tt.check && err == nil {
			err = wrapper.Check(wrap(client.NewClient(client.RequestTimeout(5 * time.Second))))
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}
