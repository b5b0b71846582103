package outcome_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/harm/outcome"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestResult(t *testing.T) {
	r := outcome.Result{Calls: []outcome.Call{
		{Expected: true, Answered: true, Took: 10, Late: -90},
		{Expected: true, Took: 130, Late: 30},
		{Answered: true, Took: 20, Late: 15},
		{Expected: true, Hung: true},
	}}.WithExecutions(map[string]int{"Leaf.Work call-1": 1, "Leaf.Work call-2": 3})
	calls, answered := r.Expected()
	for name, tt := range map[string]struct{ got, want int }{
		"expected":        {calls, 3},
		"answered":        {answered, 1},
		"later than 0":    {r.LaterThan(0), 3},
		"later than 15":   {r.LaterThan(15), 2},
		"latest":          {int(r.Latest()), 30},
		"median":          {int(r.Took(0.5)), 130},
		"fastest":         {int(r.Took(0)), 10},
		"of none":         {int(outcome.Result{}.Took(0.5)), 0},
		"orders executed": {r.Executed, 2},
		"executions":      {r.Executions, 4},
		"repeated":        {r.Repeated, 1},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", name, tt.got, tt.want)
		}
	}
}

// TestKind: errors that differ by numbers only are of one kind.
func TestKind(t *testing.T) {
	first := outcome.Kind(errors.New("dial tcp 127.0.0.1:4711: refused after 12.5ms for call-7/2"))
	second := outcome.Kind(errors.New("dial tcp 127.0.0.1:815: refused after 3ms for call-16"))
	if first != second {
		t.Errorf("got %q and %q, want one kind", first, second)
	}
	if other := outcome.Kind(errors.New("timeout")); other == first {
		t.Errorf("got %q for both, want two kinds", other)
	}
}
