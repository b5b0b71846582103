package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	merrors "go-micro.dev/v4/errors"
)

func request(t *testing.T, f *fakeHello, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return requestTo(t, f.api(), method, path, body, headers...)
}

func requestTo(t *testing.T, a *api, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	newRouter(a).ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	const key = "Idempotency-Key: k-1"
	for _, tt := range []struct{ method, path, body, header, want string }{
		{"GET", "/user/test", "", "", `{"message":"Hello xuxu","instance":"one","attempts":3}`},
		{"GET", "/user/balance/kim", "", "", `{"student":"kim","balance_cents":500}`},
		{"POST", "/user/tip", `{"student":"xuxu","amount_cents":7}`, key, `{"transfer_id":"t-1","balance_cents":7}`},
		{"GET", "/healthz", "", "", `{"status":"ok"}`},
	} {
		f := &fakeHello{effort: effort{attempts: 3, failed: []string{"127.0.0.1:9001 not sent", "127.0.0.1:9002 broken"}}}
		w := request(t, f, tt.method, tt.path, tt.body, tt.header)
		if w.Code != http.StatusOK || w.Body.String() != tt.want {
			t.Errorf("%s %s: %d %s, want %s", tt.method, tt.path, w.Code, w.Body, tt.want)
		}
		wantAttempts, wantFailed := "", ""
		if strings.HasPrefix(tt.path, "/user") {
			wantAttempts, wantFailed = "3", "127.0.0.1:9001 not sent, 127.0.0.1:9002 broken"
		}
		if got, failed := w.Header().Get("Attempts"), w.Header().Get("Failed-Attempts"); got != wantAttempts || failed != wantFailed {
			t.Errorf("%s %s: attempts %q, failed %q", tt.method, tt.path, got, failed)
		}
	}
}

func TestTipCarriesTheBrowsersKey(t *testing.T) {
	f := &fakeHello{}
	for _, value := range []string{"Idempotency-Key: k-1", `idempotency-key: "quoted"`} {
		if w := request(t, f, "POST", "/user/tip", `{"student":"xuxu","amount_cents":5}`, value); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", value, w.Code, w.Body)
		}
	}
	if want := []string{"k-1", "quoted"}; !slices.Equal(f.keys, want) {
		t.Errorf("keys %q, want %q", f.keys, want)
	}
}

func TestTipRefusesBadRequests(t *testing.T) {
	const (
		key  = "Idempotency-Key: k-1"
		body = `{"student":"xuxu","amount_cents":5}`
	)
	for _, tt := range []struct {
		name, body string
		headers    []string
	}{
		{"no key", body, nil},
		{"empty key", body, []string{"Idempotency-Key: "}},
		{"two keys", body, []string{key, "Idempotency-Key: k-2"}},
		{"key with a space", body, []string{"Idempotency-Key: a b"}},
		{"key too long", body, []string{"Idempotency-Key: " + strings.Repeat("x", 256)}},
		{"no body", "", []string{key}},
		{"no JSON", "student=xuxu", []string{key}},
		{"unknown field", `{"student":"xuxu","amount":5}`, []string{key}},
		{"amount in words", `{"student":"xuxu","amount_cents":"five"}`, []string{key}},
		{"half a cent", `{"student":"xuxu","amount_cents":0.5}`, []string{key}},
		{"two bodies", body + body, []string{key}},
		{"endless body", `{"student":"` + strings.Repeat("x", longestTip) + `"}`, []string{key}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fakeHello{}
			w := request(t, f, "POST", "/user/tip", tt.body, tt.headers...)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"error":`) {
				t.Errorf("%d %s, want 400", w.Code, w.Body)
			}
			if len(f.tips) != 0 {
				t.Errorf("hello-srv was called: %v", f.tips)
			}
		})
	}
}

func TestFailuresAreAnswered(t *testing.T) {
	for _, tt := range []struct {
		path       string
		err        error
		status     int
		retryAfter string
	}{
		{"/user/test", merrors.InternalServerError("go.micro.client", "error getting next hello-srv node: none available"), 503, "1"},
		{"/user/balance/%20", merrors.BadRequest(helloService, "student: must not be blank"), 400, ""},
		{"/user/test", merrors.Timeout("go.micro.client", "deadline"), 504, ""},
	} {
		w := request(t, &fakeHello{err: tt.err}, "GET", tt.path, "")
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.retryAfter {
			t.Errorf("%v: %d, Retry-After %q, want %d, %q", tt.err, w.Code, w.Header().Get("Retry-After"), tt.status, tt.retryAfter)
		}
	}
}

func TestTipSaysThatTheOutcomeIsUnknown(t *testing.T) {
	for _, tt := range []struct {
		err     error
		status  int
		unknown bool
	}{
		{merrors.Timeout("go.micro.client", "deadline"), 409, true},
		{merrors.InternalServerError("go.micro.client.transport", "unexpected EOF"), 409, true},
		{merrors.InternalServerError(helloService, "it does not work"), 502, true},
		{merrors.BadRequest(helloService, "amount_cents: 0"), 400, false},
		{merrors.New(helloService, "other payload", 422), 422, false},
		{merrors.InternalServerError("go.micro.client", "service hello-srv: not found"), 503, false},
	} {
		fake := &fakeHello{err: tt.err}
		w := request(t, fake, "POST", "/user/tip", `{"student":"xuxu","amount_cents":5}`, "Idempotency-Key: k-1")
		if got := strings.Contains(w.Body.String(), "outcome unknown"); got != tt.unknown || w.Code != tt.status {
			t.Errorf("%v: %d %s, want %d, and an unknown outcome: %t", tt.err, w.Code, w.Body, tt.status, tt.unknown)
		}
		if got := w.Header().Get("Retry-After"); (got != "") != (tt.status == 409 || tt.status == 503) {
			t.Errorf("%v: Retry-After %q", tt.err, got)
		}
	}
}
