package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

func TestTokens(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	secret := strings.Repeat("s", shortestSecret)
	mine, same, other := newTokens(secret), newTokens(secret), newTokens("")
	for _, tokens := range []*tokens{mine, same, other} {
		tokens.now = func() time.Time { return now }
	}
	token, expires := mine.issue()
	if second, _ := mine.issue(); second == token {
		t.Error("two forms have one token")
	}
	if key, err := idempotency.ParseKey(token); key != token || err != nil {
		t.Errorf("as a key the token is %q, %v", key, err)
	}
	if want := now.Truncate(time.Second).Add(tokenLife); !expires.Equal(want) {
		t.Errorf("expires at %v, want %v", expires, want)
	}
	if issued, err := same.check(token); !issued.Equal(now.Truncate(time.Second)) || err != nil {
		t.Errorf("with the same secret: issued %v, %v", issued, err)
	}
	if _, err := other.check(token); !errors.Is(err, errForged) {
		t.Errorf("with another secret: %v, want errForged", err)
	}
	for i := len(tokenPrefix); i < len(token); i++ {
		changed := []byte(token)
		changed[i] = 'A' + (changed[i]-'A'+1)%26
		if _, err := mine.check(string(changed)); !errors.Is(err, errForged) {
			t.Errorf("changed at %d: %v, want errForged", i, err)
		}
	}

	now = now.Add(tokenLife)
	if _, err := mine.check(token); !errors.Is(err, errExpired) {
		t.Errorf("after its life: %v, want errExpired", err)
	}
}

func TestKeysThatAreNoTokens(t *testing.T) {
	tokens := newTokens("")
	if issued, err := tokens.check("8e03978e-40d5-43e8-bc93-6894a57f9324"); !issued.IsZero() || err != nil {
		t.Errorf("issued %v, %v", issued, err)
	}
	for _, forged := range []string{"form.", "form.x", "form.8e03978e", "form." + strings.Repeat("A", 75)} {
		if _, err := tokens.check(forged); !errors.Is(err, errForged) {
			t.Errorf("%s: %v, want errForged", forged, err)
		}
	}
}

func FuzzCheckToken(f *testing.F) {
	tokens := newTokens(strings.Repeat("s", shortestSecret))
	token, _ := tokens.issue()
	for _, seed := range []string{token, "form.", "", "form.AAAA"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		issued, err := tokens.check(key)
		if key != token && !issued.IsZero() {
			t.Errorf("%q passed as issued at %v, %v", key, issued, err)
		}
	})
}
