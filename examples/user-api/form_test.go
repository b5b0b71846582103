package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
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
	submit := func(token string) int { // as curl -d does
		return requestTo(t, a, "POST", "/user/tip", body, "Idempotency-Key: "+token, "Content-Type: application/x-www-form-urlencoded").Code
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

// TestFormOfABrowser: whatever is done with the page, it is one tip, and the answer says
// so.
func TestFormOfABrowser(t *testing.T) {
	f := &fakeHello{}
	a := f.api()
	const accept = "Accept: text/html,application/xhtml+xml"
	w := requestTo(t, a, "GET", "/user/tip-form", "", accept)
	token := regexp.MustCompile(`name="idempotency_key" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || token == nil || w.Header().Get("Cache-Control") != "private" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	submit := func(fields string) (int, string) {
		w := requestTo(t, a, "POST", "/user/tip", fields, accept, "Content-Type: application/x-www-form-urlencoded")
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: answered as %s", fields, w.Header().Get("Content-Type"))
		}
		return w.Code, w.Body.String()
	}
	form := url.Values{"student": {"xuxu"}, "amount_cents": {"5"}, "idempotency_key": {token[1]}}.Encode()
	for i, want := range []string{"Thank you", "Already done", "Already done"} {
		if code, page := submit(form); code != http.StatusOK || !strings.Contains(page, "<h1>"+want+"</h1>") || !strings.Contains(page, "t-1") {
			t.Errorf("submitted %d times: %d %s", i+1, code, page)
		}
	}
	if len(f.keys) != 3 || f.keys[0] != token[1] || f.keys[2] != token[1] || f.tips[2].GetAmountCents() != 5 {
		t.Errorf("keys %q, tips %v", f.keys, f.tips)
	}
	for _, bad := range []string{"", "student=xuxu&amount_cents=5", strings.Replace(form, "=5", "=five", 1), form + "&idempotency_key=other", "%zz"} {
		if code, page := submit(bad); code != http.StatusBadRequest || !strings.Contains(page, "That did not work") {
			t.Errorf("%q: %d %s", bad, code, page)
		}
	}
	f.err = errors.New("<script>")
	if _, page := submit(form); strings.Contains(page, "<script>") {
		t.Error("an error of hello-srv became a script")
	}
}
