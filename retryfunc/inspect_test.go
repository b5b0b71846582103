package retryfunc

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go-micro.dev/v4/client"
)

func TestInspect(t *testing.T) {
	made := func(rule Rule, err error) Rule {
		if err != nil {
			t.Fatal(err)
		}
		return rule
	}
	list := made(Endpoints(map[string]Safety{"Say.Hello": SafetySafe, "bank/Wallet.Tip": SafetyKeyed}))
	more := made(Endpoints(map[string]Safety{"Say.Hello": SafetyUnsafe, "Say.Bye": SafetySafe}))
	prefixes := made(Prefixes("Get"))
	for _, tt := range []struct {
		name  string
		rule  Rule
		table bool
		names []string
		wrong string
	}{
		{"nil", nil, false, nil, ""},
		{"somebody's own", always(SafetySafe), false, nil, ""},
		{"endpoints", list, true, []string{"Say.Hello", "bank/Wallet.Tip"}, ""},
		{"prefixes", prefixes, true, nil, ""},
		{"first", First(more, list, prefixes, nil), true, []string{"Say.Bye", "Say.Hello", "bank/Wallet.Tip"}, ""},
		{"first with somebody's own", First(list, always(SafetySafe)), false, []string{"Say.Hello", "bank/Wallet.Tip"}, ""},
		{"first in first", First(First(list), always(SafetySafe)), false, []string{"Say.Hello", "bank/Wallet.Tip"}, ""},
		{"every", Every(SafetyIdempotent), true, nil, ""},
		{"every unknown", Every(SafetyUnknown), true, nil, "Every(unknown): must be unsafe, keyed, idempotent or safe"},
		{"no such safety", Every(SafetySafe + 1), true, nil, "Every(Safety(5)): must be unsafe, keyed, idempotent or safe"},
		{"every in first", First(list, Every(9)), true, []string{"Say.Hello", "bank/Wallet.Tip"}, "Every(Safety(9)): must be"},
		{"HTTP verbs", HTTPRule(), false, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Inspect(tt.rule)
			if got.Table != tt.table {
				t.Errorf("table: got %t, want %t", got.Table, tt.table)
			}
			if !slices.Equal(got.Names, tt.names) {
				t.Errorf("names: got %q, want %q", got.Names, tt.names)
			}
			if (got.Err == nil) != (tt.wrong == "") || got.Err != nil && !strings.Contains(got.Err.Error(), tt.wrong) {
				t.Errorf("error: got %v, want %q", got.Err, tt.wrong)
			}
		})
	}
}

func TestInspectedNamesAreTheCallersOwn(t *testing.T) {
	rule, err := Endpoints(map[string]Safety{"Say.Hello": SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	Inspect(rule).Names[0] = "Say.Bye"
	if got := Inspect(rule).Names[0]; got != "Say.Hello" {
		t.Errorf("name: got %q, want Say.Hello", got)
	}
}

// TestRulesOfOthersAreNotInspected: they may not bear being asked about nothing.
func TestRulesOfOthersAreNotInspected(t *testing.T) {
	asked := false
	Inspect(First(func(context.Context, client.Request) Safety {
		asked = true
		return SafetySafe
	}))
	if asked {
		t.Error("a rule of somebody else's was called")
	}
}

func TestEvery(t *testing.T) {
	judge(t, Every(SafetyKeyed), service, "Say.Hello", SafetyKeyed)
	judge(t, Every(SafetySafe), "bank", "", SafetySafe)
	judge(t, First(Every(SafetyUnsafe), Every(SafetySafe)), service, "Say.Hello", SafetyUnsafe)
}
