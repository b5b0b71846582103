package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func TestFormIsOneTip(t *testing.T) {
	f := &fakeHello{}
	a := f.api()
	w := requestTo(t, a, "GET", "/user/tip-form", "")
	var form formReply
	if err := json.Unmarshal(w.Body.Bytes(), &form); err != nil || w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	const body = `{"student":"xuxu","amount_cents":5}`
	submit := func(token string) int {
		return requestTo(t, a, "POST", "/user/tip", body, "Idempotency-Key: "+token).Code
	}
	if first, second := submit(form.Token), submit(form.Token); first != http.StatusOK || second != http.StatusOK {
		t.Errorf("submitted twice: %d and %d", first, second)
	}
	if len(f.keys) != 2 || f.keys[0] != form.Token || f.keys[1] != form.Token {
		t.Errorf("keys %q, want the token twice", f.keys)
	}
	if code := submit(form.Token + "x"); code != http.StatusBadRequest {
		t.Errorf("a changed token: %d", code)
	}
	a.tokens.now = func() time.Time { return form.ExpiresAt.Add(time.Second) }
	if code := submit(form.Token); code != http.StatusPreconditionFailed {
		t.Errorf("an old token: %d", code)
	}
	if len(f.keys) != 2 {
		t.Errorf("hello-srv was called for a bad token")
	}
}
