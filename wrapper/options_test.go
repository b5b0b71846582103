package wrapper_test

import (
	"strings"
	"testing"
	"time"

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
		{wrapper.WithHook(nil), "WithHook(<nil>): must be a function"},
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
	_, err := wrapper.NewClientWrapper(wrapper.WithAttempts(0), wrapper.WithHook(nil))
	if err == nil || !strings.Contains(err.Error(), "WithAttempts") || !strings.Contains(err.Error(), "WithHook") {
		t.Errorf("error %v", err)
	}
}
