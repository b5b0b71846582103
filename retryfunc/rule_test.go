package retryfunc

import (
	"context"
	"testing"
)

func judge(t *testing.T, rule Rule, service, endpoint string, want Safety) {
	t.Helper()
	if got := rule(context.Background(), request{service: service, endpoint: endpoint}); got != want {
		t.Errorf("%s/%s is %v, want %v", service, endpoint, got, want)
	}
}

func TestParseSafety(t *testing.T) {
	for text, want := range map[string]Safety{
		"safe": SafetySafe, "idempotent": SafetyIdempotent, "keyed": SafetyKeyed,
		"": SafetyUnknown, "Safe": SafetyUnknown, "unsafe": SafetyUnknown, "unknown": SafetyUnknown,
	} {
		got, err := ParseSafety(text)
		if got != want || (err == nil) != (want != SafetyUnknown) {
			t.Errorf("ParseSafety(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestRepeatable(t *testing.T) {
	for s := SafetyUnknown; s <= SafetySafe+1; s++ {
		if got, want := s.Repeatable(), s == SafetySafe || s == SafetyIdempotent; got != want {
			t.Errorf("%v.Repeatable() = %v", s, got)
		}
	}
}

func TestEndpoints(t *testing.T) {
	list := map[string]Safety{
		"Say.Hello": SafetySafe, "bank/Say.Hello": SafetyUnsafe, "Wallet.Tip": SafetyKeyed,
		"GET /users": SafetySafe, "bank/PUT /users": SafetyIdempotent,
	}
	rule, err := Endpoints(list)
	if err != nil {
		t.Fatal(err)
	}
	clear(list) // the rule has its own list
	judge(t, rule, service, "Say.Hello", SafetySafe)
	judge(t, rule, "bank", "Say.Hello", SafetyUnsafe)
	judge(t, rule, service, "Wallet.Tip", SafetyKeyed)
	judge(t, rule, service, "Wallet.tip", SafetyUnknown)
	judge(t, rule, "bank", "GET /users", SafetySafe)
	judge(t, rule, "bank", "PUT /users", SafetyIdempotent)
	judge(t, rule, service, "PUT /users", SafetyUnknown)
}

func TestPrefixes(t *testing.T) {
	rule, err := Prefixes("Get", "List")
	if err != nil {
		t.Fatal(err)
	}
	for endpoint, want := range map[string]Safety{
		"Users.Get": SafetySafe, "Users.GetByID": SafetySafe, "Users.List2": SafetySafe, "GetUser": SafetySafe,
		"Users.Getaway": SafetyUnknown, "Get.Update": SafetyUnknown, "Users.Listen": SafetyUnknown, "": SafetyUnknown,
	} {
		judge(t, rule, service, endpoint, want)
	}
}

func TestHTTPRule(t *testing.T) {
	for endpoint, want := range map[string]Safety{
		"GET": SafetySafe, "GET /users": SafetySafe, "HEAD/users": SafetySafe, "OPTIONS *": SafetySafe, "TRACE": SafetySafe,
		"PUT /users/7": SafetyIdempotent, "DELETE": SafetyIdempotent,
		"POST /users": SafetyUnsafe, "PATCH": SafetyUnsafe, "CONNECT": SafetyUnsafe,
		"Get": SafetyUnknown, "get /users": SafetyUnknown, "GETTER": SafetyUnknown, "Users.GET": SafetyUnknown, "": SafetyUnknown,
	} {
		judge(t, HTTPRule(), service, endpoint, want)
	}
}

func TestFirst(t *testing.T) {
	judge(t, First(), service, "Say.Hello", SafetyUnknown)
	judge(t, First(nil, always(SafetyUnknown), always(SafetyUnsafe), always(SafetySafe)), service, "Say.Hello", SafetyUnsafe)
	rules := []Rule{always(SafetySafe)}
	rule := First(rules...)
	rules[0] = always(SafetyUnsafe)
	judge(t, rule, service, "Say.Hello", SafetySafe)
}

func FuzzParseSafety(f *testing.F) {
	for s := SafetyUnknown; s <= SafetySafe; s++ {
		f.Add(s.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSafety(text)
		if err == nil && s.String() != text || err != nil && s != SafetyUnknown {
			t.Fatalf("ParseSafety(%q) = %v, %v", text, s, err)
		}
	})
}
