package hystrix_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/hystrix"
)

// TestStream: the dashboard is shown a circuit for each address, and a stream ends with
// its client or when it is closed.
func TestStream(t *testing.T) {
	mirror, err := hystrix.NewMirror(hystrix.WithNamePrefix("shown"), hystrix.WithDashboard(true))
	if err != nil {
		t.Fatal(err)
	}
	defer mirror.Close()
	set, err := breaker.New(mirror.Option())
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for _, address := range []string{"a:1", "b:1"} {
		set.Report(address, breaker.Success, time.Now(), time.Millisecond)
	}
	stream := hystrix.NewStream()
	defer stream.Close()
	server := httptest.NewServer(stream)
	defer server.Close()

	first, second := open(t, server.URL), open(t, server.URL)
	seen := make(map[string]bool)
	for lines := bufio.NewScanner(first.Body); len(seen) < 2 && lines.Scan(); {
		var shown struct {
			Type string `json:"type"`
			Name string `json:"name"`
		}
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &shown); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if shown.Type == "HystrixCommand" && strings.HasPrefix(shown.Name, "shown-") {
			seen[shown.Name] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("circuits %v, want two", seen)
	}
	if err := first.Body.Close(); err != nil {
		t.Error(err)
	}
	stream.Close()
	stream.Close()
	for lines := bufio.NewScanner(second.Body); lines.Scan(); { // ends
		continue
	}
	if err := second.Body.Close(); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := rsp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("%s, %s", rsp.Status, got)
	}
	return rsp
}
