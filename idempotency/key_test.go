package idempotency

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseKey(t *testing.T) {
	for _, test := range []struct {
		name, in, want, reason string
	}{
		{name: "plain", in: "8e03978e-40d5-43dd", want: "8e03978e-40d5-43dd"},
		{name: "one character", in: "a", want: "a"},
		{name: "all punctuation", in: `!#$%&'()*+,-./:;<=>?@[\]^_{|}~`, want: `!#$%&'()*+,-./:;<=>?@[\]^_{|}~`},
		{name: "quote inside", in: `a"b`, want: `a"b`},
		{name: "quoted", in: `"8e03978e"`, want: "8e03978e"},
		{name: "quoted with escapes", in: `"a\"b\\c"`, want: `a"b\c`},
		{name: "longest", in: strings.Repeat("x", 255), want: strings.Repeat("x", 255)},
		{name: "longest quoted", in: `"` + strings.Repeat("x", 255) + `"`, want: strings.Repeat("x", 255)},
		{name: "empty", in: "", reason: "empty"},
		{name: "empty quoted", in: `""`, reason: "nothing between its quotes"},
		{name: "lone quote", in: `"`, reason: "not closed"},
		{name: "open quote", in: `"abc`, reason: "not closed"},
		{name: "closing quote escaped", in: `"abc\"`, reason: "backslash"},
		{name: "quote inside quotes", in: `"a"b"`, reason: "not escaped"},
		{name: "unknown escape", in: `"a\n"`, reason: "backslash"},
		{name: "begins with a quoted quote", in: `"\"a"`, reason: "begins with"},
		{name: "too long", in: strings.Repeat("x", 256), reason: "256 characters"},
		{name: "space", in: "a b", reason: "position 2"},
		{name: "control", in: "ab\x00", reason: "position 3"},
		{name: "delete", in: "\x7f", reason: "position 1"},
		{name: "newline", in: "a\r\nX-Evil: 1", reason: "position 2"},
		{name: "not ASCII", in: "schlüssel", reason: "position 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseKey(test.in)
			if got != test.want {
				t.Errorf("key %q, want %q", got, test.want)
			}
			if test.reason == "" {
				if err != nil {
					t.Errorf("unexpected error: %v", err)
				}
				return
			}
			var keyError *KeyError
			if !errors.As(err, &keyError) || !errors.Is(err, ErrInvalidKey) || keyError.StatusCode() != 400 {
				t.Fatalf("error %v is not a KeyError", err)
			}
			if !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %q does not say %q", err, test.reason)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", "a", `"a"`, `"a\"b"`, `"\\"`, "a b", "\xff", strings.Repeat("k", 256)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParseKey(s)
		if err != nil {
			if key != "" || !errors.Is(err, ErrInvalidKey) {
				t.Fatalf("ParseKey(%q) = %q, %v", s, key, err)
			}
			return
		}
		if len(key) < 1 || len(key) > MaxKeyLength {
			t.Fatalf("ParseKey(%q): %d characters", s, len(key))
		}
		for _, c := range []byte(key) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("ParseKey(%q): byte %#x", s, c)
			}
		}
		if again, err := ParseKey(key); err != nil || again != key {
			t.Fatalf("ParseKey(%q) = %q, and again %q, %v", s, key, again, err)
		}
	})
}

func TestKeyIsFor(t *testing.T) {
	for _, test := range []struct {
		name, madeFor string
		want          bool
	}{
		{"client did not say", "", true},
		{"same call", "bank/Wallet.Tip", true},
		{"other endpoint", "bank/Wallet.Take", false},
		{"other service", "shop/Wallet.Tip", false},
		{"service only", "bank", false},
		{"longer service", "bank/x/Wallet.Tip", false},
		{"endpoint only", "/Wallet.Tip", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := (Key{For: test.madeFor}).IsFor("bank", "Wallet.Tip"); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestIssuedRoundTrip(t *testing.T) {
	when := time.Date(2024, 5, 6, 7, 8, 9, 123, time.FixedZone("", 3600))
	text := FormatIssued(when)
	if text != "2024-05-06T06:08:09.000000123Z" {
		t.Errorf("formatted %q", text)
	}
	if got, err := ParseIssued(text); err != nil || !got.Equal(when) || got.Location() != time.UTC {
		t.Errorf("parsed %v, %v", got, err)
	}
	if got := FormatIssued(time.Time{}); got != "" {
		t.Errorf("zero time formatted %q", got)
	}
	if got, err := ParseIssued(""); err != nil || !got.IsZero() {
		t.Errorf("empty parsed %v, %v", got, err)
	}
	if _, err := ParseIssued("yesterday"); err == nil || !strings.Contains(err.Error(), HeaderIssued) {
		t.Errorf("error %v does not name the header", err)
	}
}
