package retryfunc

import (
	"math"
	"strings"
	"testing"
	"time"
)

// Every constructor names what was wrong and what is allowed.
func TestMisuse(t *testing.T) {
	budget, err := NewBudget()
	if err != nil {
		t.Fatal(err)
	}
	second := func(_ any, err error) error { return err }
	tests := []struct {
		err  error
		want string
	}{
		{second(OnCodes()), "OnCodes(): must name at least one code"},
		{second(OnCodes(500, 0)), "OnCodes(0): must be at least 1"},
		{second(OnCodes(-1)), "OnCodes(-1): must be at least 1"},
		{second(OnClass()), "OnClass(): must name at least one class"},
		{second(OnClass(None)), "OnClass(none): must be a class between"},
		{second(OnClass(Broken, Canceled)), "OnClass(canceled): must be a class between"},
		{second(OnClass(77)), "OnClass(Class(77)): must be a class between"},
		{second(Any()), "Any(): must name at least one policy"},
		{second(Any(Careful, nil)), "Any: policy 2 is nil: must be"},
		{second(All()), "All(): must name at least one policy"},
		{second(All(nil)), "All: policy 1 is nil: must be"},
		{second(Not(nil)), "Not(nil): policy must be"},
		{second(Idempotent(nil)), "Idempotent(nil): rule must be"},
		{second(Idempotent(Every(SafetyUnknown))), "Every(unknown): must be unsafe, keyed, idempotent or safe"},
		{second(Idempotent(First(Every(7)))), "Every(Safety(7)): must be"},
		{second(Obey(nil)), "Obey(nil): policy must be"},
		{second(WithinDeadline(nil, 0)), "WithinDeadline(nil): policy must be"},
		{second(WithinDeadline(Careful, -time.Second)), "WithinDeadline(-1s): must not be negative"},
		{second(Observe(nil, nil)), "Observe(nil): policy must be"},
		{second(Observe(Careful, nil)), "Observe(policy, nil): hook must be"},
		{second(budget.Limit(0, Careful)), "Limit(0): attempts must be at least 1"},
		{second(budget.Limit(3, nil)), "Limit(nil): policy must be"},
		{second((*Budget)(nil).Limit(3, Careful)), "nil Budget: must be made with NewBudget"},
		{second(NewBudget(nil)), "NewBudget: option 1 is nil: must be"},
		{second(NewBudget(WithRatio(-0.1))), "WithRatio(-0.1): must be between 0 and 1"},
		{second(NewBudget(WithRatio(1.1))), "WithRatio(1.1): must be between 0 and 1"},
		{second(NewBudget(WithRatio(math.NaN()))), "WithRatio(NaN): must be between 0 and 1"},
		{second(NewBudget(WithMinPerSecond(-1))), "WithMinPerSecond(-1): must be between 0 and 1000000"},
		{second(NewBudget(WithMinPerSecond(math.MaxInt))), "must be between 0 and 1000000"},
		{second(NewBudget(WithWindow(-time.Second))), "WithWindow(-1s): must be between 1s and 1m0s"},
		{second(NewBudget(WithWindow(time.Hour))), "WithWindow(1h0m0s): must be between 1s and 1m0s"},
		{second(NewBudget(WithClock(nil))), "WithClock(nil): must be"},
		{second(NewBackoff(nil)), "NewBackoff: option 1 is nil: must be"},
		{second(NewBackoff(WithBase(0))), "WithBase(0s): must be more than 0"},
		{second(NewBackoff(WithBase(-time.Second))), "WithBase(-1s): must be more than 0"},
		{second(NewBackoff(WithCap(time.Millisecond))), "WithCap(1ms): must be at least the base, 25ms"},
		{second(Endpoints(nil)), "Endpoints(): must list at least one endpoint"},
		{second(Endpoints(map[string]Safety{" ": SafetySafe})), `name " ": must be`},
		{second(Endpoints(map[string]Safety{"hello-srv/": SafetySafe})), `name "hello-srv/": must be`},
		{second(Endpoints(map[string]Safety{"Say.Hello": SafetyUnknown})), `"Say.Hello" is unknown: must be`},
		{second(Endpoints(map[string]Safety{"Say.Hello": 9})), `"Say.Hello" is Safety(9): must be`},
		{second(Prefixes()), "Prefixes(): must name at least one prefix"},
		{second(Prefixes("Get", "")), `Prefixes(""): must not be empty`},
		{second(ParseSafety("maybe")), `ParseSafety("maybe"): must be safe, idempotent or keyed`},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.HasPrefix(tt.err.Error(), "retryfunc: ") || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("error %v, want %q", tt.err, tt.want)
		}
	}
}
