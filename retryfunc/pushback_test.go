package retryfunc

import (
	"context"
	"testing"
	"time"

	"go-micro.dev/v4/errors"
)

func TestParsePushback(t *testing.T) {
	tests := []struct {
		values  []string
		after   time.Duration
		noRetry bool
	}{
		{nil, 0, false},
		{[]string{"0"}, 0, false},
		{[]string{"250"}, 250 * time.Millisecond, false},
		{[]string{"2147483647"}, 2147483647 * time.Millisecond, false},
		{[]string{"2147483648"}, 0, true},
		{[]string{"-1"}, 0, true},
		{[]string{""}, 0, true},
		{[]string{"250ms"}, 0, true},
		{[]string{"1", "2"}, 0, true},
	}
	for _, tt := range tests {
		if after, noRetry := ParsePushback(tt.values); after != tt.after || noRetry != tt.noRetry {
			t.Errorf("%q: %v, %v, want %v, %v", tt.values, after, noRetry, tt.after, tt.noRetry)
		}
	}
}

func TestFormatPushback(t *testing.T) {
	for want, m := range map[string]Mark{
		"":     {Kind: MarkRefused},
		"250":  {Kind: MarkRefused, RetryAfter: 250 * time.Millisecond},
		"1":    {Kind: MarkRefused, RetryAfter: 1},
		"-1":   {Kind: MarkRefused, RetryAfter: time.Second, NoRetry: true},
		"3000": {Kind: MarkRunning, RetryAfter: 3 * time.Second},
	} {
		if got := FormatPushback(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
	if got := FormatPushback(Mark{Kind: MarkFailed}); got != "-1" {
		t.Errorf("failed: %q", got)
	}
	if got := FormatPushback(Mark{Kind: MarkRefused, RetryAfter: 1 << 62}); got != "2147483647" {
		t.Errorf("for ever: %q", got)
	}
}

func FuzzParsePushback(f *testing.F) {
	f.Add("250")
	f.Add("-1")
	f.Fuzz(func(t *testing.T, value string) {
		after, noRetry := ParsePushback([]string{value})
		if after < 0 || noRetry && after != 0 {
			t.Fatalf("%q: %v, %v", value, after, noRetry)
		}
		if after > 0 {
			if again, _ := ParsePushback([]string{FormatPushback(Mark{RetryAfter: after})}); again != after {
				t.Fatalf("%q: %v, and then %v", value, after, again)
			}
		}
	})
}

// TestPushbackCounts with policies and limits as a mark does.
func TestPushbackCounts(t *testing.T) {
	refused := &errors.Error{Id: "plain", Code: 503}
	ctx := WithAttempt(t.Context(), &Attempt{Class: NotSent, Number: 1, RetryAfter: time.Second})
	d, err := Explain(ctx, Careful, nil, 0, refused)
	if err != nil || !d.Retry || d.Delay != time.Second {
		t.Errorf("%+v, %v", d, err)
	}
	within, err := WithinDeadline(Always, 0)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if d, err := Explain(short, within, nil, 0, refused); err != nil || d.Retry || d.Reason != ReasonDeadline {
		t.Errorf("%+v, %v", d, err)
	}
	forbidden := WithAttempt(t.Context(), &Attempt{Class: NotSent, Number: 1, NoRetry: true})
	obey, err := Obey(Always)
	if err != nil {
		t.Fatal(err)
	}
	for name, policy := range map[string]func() (Decision, error){
		"careful": func() (Decision, error) { return Explain(forbidden, Careful, nil, 0, refused) },
		"obey":    func() (Decision, error) { return Explain(forbidden, obey, nil, 0, refused) },
	} {
		if d, err := policy(); err != nil || d.Retry || d.Reason != ReasonServer {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}
