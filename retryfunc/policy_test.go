package retryfunc

import (
	"context"
	"errors"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
)

func yes(context.Context, client.Request, int, error) (bool, error) { return true, nil }
func no(context.Context, client.Request, int, error) (bool, error)  { return false, nil }

var errPolicy = errors.New("policy broke")

func broken(context.Context, client.Request, int, error) (bool, error) { return true, errPolicy }

func given(a Attempt) context.Context { return WithAttempt(context.Background(), &a) }

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// ask fails the test unless policy answers want.
func ask(ctx context.Context, t *testing.T, policy client.RetryFunc, err error, want bool) {
	t.Helper()
	if got, perr := policy(ctx, request{service: service, endpoint: "Say.Hello"}, 0, err); got != want || perr != nil {
		t.Errorf("retry = %v, %v, want %v, for %v", got, perr, want, err)
	}
}

func TestCareful(t *testing.T) {
	const nothing, keyed, idempotent = 0, 1, 2 // what has to be known of the call
	tests := map[Class]int{NotSent: nothing, Refused: nothing, Broken: keyed, Timeout: keyed, Internal: idempotent}
	for class := None; class <= Canceled+1; class++ {
		for safety := SafetyUnknown; safety <= SafetySafe; safety++ {
			for _, trusted := range []bool{false, true} {
				need, retriable := tests[class]
				want := retriable && (need == nothing || safety >= SafetyIdempotent || need == keyed && trusted)
				a := Attempt{Class: class, Safety: safety, KeyTrusted: trusted}
				if got, err := Careful(given(a), request{}, 0, errors.New("x")); got != want || err != nil {
					t.Errorf("Careful(%v, %v, trusted %v) = %v, %v, want %v", class, safety, trusted, got, err, want)
				}
			}
		}
	}
}

func TestCarefulInPlainClient(t *testing.T) {
	mucpRequest := client.NewRequest(service, "Say.Hello", nil)
	refused := internal("connection error: %s", refusedDial)
	tests := []struct {
		name string
		req  client.Request
		err  error
		want bool
	}{
		{"mucp refused dial, asked by no client", mucpRequest, refused, false},
		{"unknown client refused dial", request{service: service}, refused, false},
		{"no request", nil, refused, false},
		{"mucp relayed dial", mucpRequest, serverError(t, refused.Error()), false},
		{"mucp broken", mucpRequest, transportError("unexpected EOF"), false},
		{"refused by the callee", request{service: service}, NewMarked(503, "", Mark{Kind: MarkRefused, Service: service}), true},
		{"refused by another", request{service: service}, NewMarked(503, "", Mark{Kind: MarkRefused, Service: "bank"}), false},
		{"refused for good", request{service: service}, NewMarked(503, "", Mark{Kind: MarkRefused, Service: service, NoRetry: true}), false},
		{"nil", mucpRequest, nil, false},
	}
	for _, tt := range tests {
		if got, err := Careful(context.Background(), tt.req, 0, tt.err); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestNoPolicyOutlivesItsCaller(t *testing.T) {
	policies := map[string]client.RetryFunc{"Always": Always, "OnError": OnError, "Careful": Careful}
	for name, build := range map[string]func() (client.RetryFunc, error){
		"OnCodes":        func() (client.RetryFunc, error) { return OnCodes(500, 408) },
		"OnClass":        func() (client.RetryFunc, error) { return OnClass(Internal, Timeout) },
		"Not":            func() (client.RetryFunc, error) { return Not(no) },
		"Idempotent":     func() (client.RetryFunc, error) { return Idempotent(always(SafetySafe)) },
		"WithinDeadline": func() (client.RetryFunc, error) { return WithinDeadline(yes, 0) },
	} {
		policy, err := build()
		if err != nil {
			t.Fatal(err)
		}
		policies[name] = policy
	}
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			ask(canceled(), t, policy, merrors.InternalServerError("hello", "boom"), false)
			if name == "Always" || name == "Not" || name == "WithinDeadline" {
				return // these do not look at the error
			}
			ask(context.Background(), t, policy, timedOut("call timeout: context canceled"), false)
			ask(context.Background(), t, policy, nil, false)
		})
	}
}

func always(s Safety) Rule { return func(context.Context, client.Request) Safety { return s } }

func TestAlways(t *testing.T) {
	ask(context.Background(), t, Always, nil, true) // grpc streams pass nil
	ask(context.Background(), t, Always, merrors.BadRequest("hello", "no"), true)
}

func TestOnError(t *testing.T) {
	tests := []struct {
		err  error
		want bool
	}{
		{nil, false},
		{merrors.InternalServerError("hello", "boom"), true},
		{merrors.Timeout("hello", "late"), true},
		{transportError("unexpected EOF"), true},
		{internal("connection error: %s", refusedDial), true},
		{unavailable("error reading from server: EOF"), true},
		{unavailable(`connection error: desc = "transport: Error while dialing: x"`), true},
		{unavailable("overloaded"), false},
		{merrors.New("hello", "busy", 503), false},
		{merrors.BadRequest("hello", "no"), false},
		{errors.New("plain"), false},
		{internal("unsupported Content-Type: x"), true}, // a 500 is a 500
	}
	for _, tt := range tests {
		ask(context.Background(), t, OnError, tt.err, tt.want)
	}
}

func TestOnCodes(t *testing.T) {
	codes := []int32{429, 503}
	policy, err := OnCodes(codes...)
	if err != nil {
		t.Fatal(err)
	}
	codes[0] = 400 // the policy has its own list
	ask(context.Background(), t, policy, merrors.New("hello", "slow down", 429), true)
	ask(context.Background(), t, policy, serverError(t, merrors.New("hello", "busy", 503).Error()), true)
	ask(context.Background(), t, policy, merrors.BadRequest("hello", "no"), false)
	ask(context.Background(), t, policy, errors.New("plain"), false)
}

func TestOnClass(t *testing.T) {
	policy, err := OnClass(Broken, NoNode)
	if err != nil {
		t.Fatal(err)
	}
	for class := None; class <= Canceled+1; class++ {
		ask(given(Attempt{Class: class}), t, policy, errors.New("x"), class == Broken || class == NoNode)
	}
}

func TestCombinations(t *testing.T) {
	tests := []struct {
		name    string
		build   func(...client.RetryFunc) (client.RetryFunc, error)
		of      []client.RetryFunc
		want    bool
		wantErr error
	}{
		{"any of one", Any, []client.RetryFunc{no, yes}, true, nil},
		{"any of none", Any, []client.RetryFunc{no, no}, false, nil},
		{"any stops at yes", Any, []client.RetryFunc{yes, broken}, true, nil},
		{"any fails", Any, []client.RetryFunc{no, broken, yes}, false, errPolicy},
		{"all", All, []client.RetryFunc{yes, yes}, true, nil},
		{"all but one", All, []client.RetryFunc{yes, no}, false, nil},
		{"all stops at no", All, []client.RetryFunc{no, broken}, false, nil},
		{"all fails", All, []client.RetryFunc{yes, broken}, false, errPolicy},
	}
	for _, tt := range tests {
		policy, err := tt.build(tt.of...)
		if err != nil {
			t.Fatal(err)
		}
		clear(tt.of) // the policy has its own list
		if got, perr := policy(context.Background(), nil, 0, errors.New("x")); got != tt.want || !errors.Is(perr, tt.wantErr) {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, got, perr, tt.want, tt.wantErr)
		}
	}
}

func TestNot(t *testing.T) {
	for want, policy := range map[bool]client.RetryFunc{false: yes, true: no} {
		inverse, err := Not(policy)
		if err != nil {
			t.Fatal(err)
		}
		ask(context.Background(), t, inverse, errors.New("x"), want)
	}
	inverse, err := Not(broken)
	if err != nil {
		t.Fatal(err)
	}
	if got, perr := inverse(context.Background(), nil, 0, nil); got || !errors.Is(perr, errPolicy) {
		t.Errorf("Not(broken) = %v, %v", got, perr)
	}
}

func TestIdempotent(t *testing.T) {
	retriable := map[Class]bool{NotSent: true, Refused: true, Broken: true, Timeout: true, Internal: true}
	for class := None; class <= Canceled; class++ {
		for _, tt := range []struct {
			rule, learnt Safety
			bears        bool
		}{
			{SafetySafe, SafetyUnknown, true}, {SafetyIdempotent, SafetyUnsafe, true}, {SafetyUnknown, SafetySafe, true},
			{SafetyUnknown, SafetyUnknown, false}, {SafetyUnsafe, SafetySafe, false}, {SafetyKeyed, SafetyUnknown, false},
		} {
			policy, err := Idempotent(always(tt.rule))
			if err != nil {
				t.Fatal(err)
			}
			ctx := given(Attempt{Class: class, Safety: tt.learnt, KeyTrusted: true})
			ask(ctx, t, policy, errors.New("x"), retriable[class] && tt.bears)
		}
	}
}
