package method_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oncemore-dev/oncemore/idempotency/internal/method"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		methods        []string
		value, allowed string
	}{
		{[]string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "MKCOL"}, "", ""},
		{nil, "", "given a method"},
		{[]string{""}, `""`, "registered"},
		{[]string{"POST", "PSOT"}, `"PSOT"`, "registered"},
		{[]string{"post"}, `"post"`, "in capitals"},
		{[]string{"GET"}, `"GET"`, "change something"},
		{[]string{"POST", "HEAD"}, `"HEAD"`, "change something"},
		{[]string{"CONNECT"}, `"CONNECT"`, "change something"},
	} {
		if value, allowed := method.Check(tt.methods); value != tt.value || !strings.Contains(allowed, tt.allowed) || allowed != "" && tt.allowed == "" {
			t.Errorf("%q: %s, must be %s; want %s, must be %s", tt.methods, value, allowed, tt.value, tt.allowed)
		}
	}
}
