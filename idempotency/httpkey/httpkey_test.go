package httpkey_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMiddleware(t *testing.T) {
	for _, test := range []struct {
		name     string
		options  []httpkey.Option
		method   string
		keys     []string
		issued   string
		want     string // the key in the context
		passes   bool
		complain string
	}{
		{name: "plain key", method: "POST", keys: []string{"abc"}, want: "abc", passes: true},
		{name: "quoted key", method: "PATCH", keys: []string{`"abc"`}, want: "abc", passes: true},
		{name: "issued", method: "POST", keys: []string{"abc"}, issued: "2024-05-06T07:08:09Z", want: "abc", passes: true},
		{name: "safe method", method: "GET", passes: true},
		{name: "safe method with a key", method: "GET", keys: []string{"not checked"}, passes: true},
		{name: "idempotent method", method: "PUT", passes: true},
		{name: "missing", method: "POST", complain: "missing"},
		{name: "empty", method: "POST", keys: []string{""}, complain: "empty"},
		{name: "repeated", method: "POST", keys: []string{"a", "a"}, complain: "repeated"},
		{name: "malformed", method: "POST", keys: []string{"ä"}, complain: "visible ASCII"},
		{name: "too long", method: "POST", keys: []string{strings.Repeat("x", 256)}, complain: "256 characters"},
		{name: "bad time", method: "POST", keys: []string{"abc"}, issued: "now", complain: "RFC 3339"},
		{name: "optional, missing", options: []httpkey.Option{httpkey.WithOptional()}, method: "POST", passes: true},
		{name: "optional, malformed", options: []httpkey.Option{httpkey.WithOptional()}, method: "POST", keys: []string{"a b"}, complain: "position 2"},
		{name: "other methods", options: []httpkey.Option{httpkey.WithMethods("PUT")}, method: "PUT", complain: "missing"},
		{name: "not among other methods", options: []httpkey.Option{httpkey.WithMethods("PUT")}, method: "POST", passes: true},
		{name: "not among other methods, with a key", options: []httpkey.Option{httpkey.WithMethods("PUT")}, method: "POST", keys: []string{"abc"}, want: "abc", passes: true},
		{name: "idempotent method with a key", method: "PUT", keys: []string{"abc"}, want: "abc", passes: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			middleware, err := httpkey.New(test.options...)
			if err != nil {
				t.Fatal(err)
			}
			passed := false
			handler := middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				passed = true
				key, ok := idempotency.KeyFrom(r.Context())
				if key.Value != test.want || ok != (test.want != "") {
					t.Errorf("key %+v, %v", key, ok)
				}
				if idempotency.FormatIssued(key.Issued) != test.issued {
					t.Errorf("issued %v", key.Issued)
				}
			}))
			request := httptest.NewRequest(test.method, "/tip", nil)
			for _, key := range test.keys {
				request.Header.Add(idempotency.HeaderKey, key)
			}
			if test.issued != "" {
				request.Header.Set("Idempotency-Issued", test.issued)
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if passed != test.passes {
				t.Errorf("passed: %v", passed)
			}
			if !test.passes && (answer.Code != 400 || !strings.Contains(answer.Body.String(), test.complain) ||
				answer.Header().Get("Content-Type") != "application/problem+json") {
				t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		option httpkey.Option
		want   string
	}{
		{nil, "option 0 is nil"},
		{httpkey.WithMethods(), "must be given a method"},
		{httpkey.WithMethods("post"), `WithMethods("post")`},
		{httpkey.WithMethods(""), `WithMethods("")`},
		{httpkey.WithMethods("PSOT"), `WithMethods("PSOT"): must be methods that IANA has registered`},
		{httpkey.WithMethods("GET"), `WithMethods("GET"): must be methods that change something`},
	} {
		if _, err := httpkey.New(test.option); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	key, err := httpkey.Parse(http.Header{
		"Idempotency-Key": {`"abc"`}, "Idempotency-Issued": {"2024-05-06T07:08:09Z"},
	})
	want := idempotency.Key{Value: "abc", Issued: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)}
	if err != nil || key != want {
		t.Errorf("%+v, %v", key, err)
	}
}

// TestParseInAnyCase: not every server brings the names of headers into one case.
func TestParseInAnyCase(t *testing.T) {
	for _, test := range []struct {
		header   http.Header
		key      string
		complain string
	}{
		{http.Header{"idempotency-key": {"abc"}, "idempotency-issued": {"2024-05-06T07:08:09Z"}}, "abc", ""},
		{http.Header{"IDEMPOTENCY-KEY": {"abc"}, "IDEMPOTENCY-ISSUED": {"2024-05-06T07:08:09Z"}}, "abc", ""},
		{http.Header{"idempotency-key": {"abc"}, "Idempotency-Key": {"abc"}}, "", "repeated"},
		{http.Header{"idempotency-key": {"abc"}, "idempotency-issued": {"now"}}, "", "RFC 3339"},
	} {
		key, err := httpkey.Parse(test.header)
		if key.Value != test.key {
			t.Errorf("Parse(%v): key %q, want %q", test.header, key.Value, test.key)
		}
		if (err == nil) != (test.complain == "") || err != nil && !strings.Contains(err.Error(), test.complain) {
			t.Errorf("Parse(%v): error %v, want %q", test.header, err, test.complain)
		}
		if test.complain == "" && idempotency.FormatIssued(key.Issued) != "2024-05-06T07:08:09Z" {
			t.Errorf("Parse(%v): issued %v", test.header, key.Issued)
		}
	}
}
