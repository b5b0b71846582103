package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/ledger"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/examples/internal/control"
	"github.com/oncemore-dev/oncemore/internal/leak"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leak.GoMicro()...) }

func newTestPage(t *testing.T, c Config) *Page {
	t.Helper()
	c.Token = func() (string, time.Time) { return `form."><script>`, time.Now() }
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(p *Page, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+path, http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	return w
}

func TestShownOnlyWhatIsServedHere(t *testing.T) {
	p := newTestPage(t, Config{})
	w := get(p, "GET", "/")
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `form."><script>`) {
		t.Errorf("%d: a token is not quoted: %s", w.Code, w.Body)
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'self';") {
		t.Errorf("policy %q", policy)
	}
	if strings.Contains(w.Body.String(), "://") {
		t.Error("the page refers to somewhere else")
	}
	for path, want := range map[string]int{
		"/page/page.js":                        http.StatusOK,
		"/page/vendor/uplot/uPlot.iife.min.js": http.StatusOK,
		"/page/vendor/uplot/LICENSE":           http.StatusOK,
		"/page/index.html":                     http.StatusNotFound,
		"/page/":                               http.StatusNotFound,
		"/page/vendor/":                        http.StatusNotFound,
		"/page/page.go":                        http.StatusNotFound,
	} {
		if w := get(p, "GET", path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// runner is a Fleet that notes what it is told to do.
type runner struct{ done []string }

func (r *runner) Look() control.Report {
	return control.Report{Instances: []control.Instance{{Name: "one", Address: "127.0.0.1:1", State: control.Running}}}
}

func (r *runner) Do(_ context.Context, instance string, action control.Action) error {
	switch {
	case instance != "one":
		return control.ErrUnknown
	case action == control.Restart:
		return control.ErrNotNow
	case action == control.Freeze:
		return errors.New("it will not")
	}
	r.done = append(r.done, instance+" "+string(action))
	return nil
}

// TestButtons: only the page itself may press them, and only where there is a runner.
func TestButtons(t *testing.T) {
	fleet := new(runner)
	server := httptest.NewServer(http.StripPrefix("/secret", control.NewHandler(fleet)))
	defer server.Close()
	client, err := control.NewClient(server.URL + "/secret")
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPage(t, Config{Control: client})
	for _, tt := range []struct {
		path   string
		header string
		want   int
	}{
		{"/control/one/kill", "Sec-Fetch-Site: same-origin", http.StatusNoContent},
		{"/control/one/kill", "Sec-Fetch-Site: cross-site", http.StatusForbidden},
		{"/control/one/kill", "Origin: http://elsewhere.example", http.StatusForbidden},
		{"/control/one/kill", "Host: rebound.example:8080", http.StatusForbidden},
		{"/control/two/kill", "", http.StatusNotFound},
		{"/control/one/restart", "", http.StatusConflict},
		{"/control/one/freeze", "", http.StatusBadGateway},
	} {
		if w := get(p, "POST", tt.path, tt.header); w.Code != tt.want {
			t.Errorf("%s, %s: %d, want %d: %s", tt.path, tt.header, w.Code, tt.want, w.Body)
		}
	}
	if len(fleet.done) != 1 || fleet.done[0] != "one kill" {
		t.Errorf("done: %q", fleet.done)
	}
	if v := snapshotOf(t, p); len(v.Actions) != 3 || len(v.Instances) != 1 || v.Instances[0].Process != control.Running {
		t.Errorf("with a runner: %+v", v)
	}
	without := newTestPage(t, Config{Nodes: []string{"127.0.0.1:1"}})
	if w := get(without, "POST", "/control/one/kill"); w.Code != http.StatusNotFound {
		t.Errorf("without a runner: %d", w.Code)
	}
	if v := snapshotOf(t, without); len(v.Actions) != 0 || len(v.Instances) != 1 {
		t.Errorf("without a runner: %+v", v)
	}
}

// TestRunnerThatIsGone: the page says so, and shows the rest.
func TestRunnerThatIsGone(t *testing.T) {
	client, err := control.NewClient("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPage(t, Config{Control: client})
	if v := snapshotOf(t, p); len(v.Troubles) != 1 || !strings.Contains(v.Troubles[0], "the runner does not answer") {
		t.Errorf("%+v", v)
	}
}

func snapshotOf(t *testing.T, p *Page) view {
	t.Helper()
	v, _ := p.look(t.Context(), cursor{})
	return v
}

func TestTipsAreComparedWithTheLedger(t *testing.T) {
	book, err := ledger.Open(t.Context(), storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	p := newTestPage(t, Config{Ledger: book})
	for _, key := range []string{"paid", "paid", "paid-twice", "lost"} {
		p.Acknowledge(key)
	}
	for i, key := range []string{"paid", "paid-twice", "paid-twice", "not-acknowledged"} {
		_, err := book.DB().ExecContext(t.Context(),
			`INSERT INTO hello_transfer (transfer_id, idempotency_key, student, amount_cents, instance, created_at)
				VALUES (?, ?, 'xuxu', 1, '', '')`, i, key)
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := snapshotOf(t, p).Tips, (tips{Acknowledged: 3, Rows: 4, Duplicates: 1, Lost: 1}); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestHistoryIsBounded: whatever comes, a page keeps the latest of it.
func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	at := time.Now()
	for i := range 3 * mostCalls {
		address := fmt.Sprintf("127.0.0.1:%d", i)
		h.Observe(t.Context(), &wrapper.CallEnded{Endpoint: "Say.Hello", Report: wrapper.Report{
			Took: time.Millisecond, Attempts: []wrapper.Attempt{
				{Number: 1, Address: address, Class: retryfunc.Broken}, {Number: 2, Address: "127.0.0.1:1", Class: retryfunc.None},
			},
		}})
		h.Observe(t.Context(), &wrapper.CircuitChanged{Transition: breaker.Transition{Address: address, To: breaker.Open, At: at}})
	}
	var v view
	since := h.read(&v, cursor{})
	if len(v.Calls) != mostCalls || v.Calls[0].Number != 2*mostCalls+1 || len(v.Marks) != mostMarks || len(v.Instances) != mostInstances {
		t.Errorf("%d calls from %d, %d marks, %d instances", len(v.Calls), v.Calls[0].Number, len(v.Marks), len(v.Instances))
	}
	if want := (totals{Calls: 3 * mostCalls, Retried: 3 * mostCalls, Ejections: mostInstances}); v.Totals != want {
		t.Errorf("%+v, want %+v", v.Totals, want)
	}
	v = view{}
	if h.read(&v, since); len(v.Calls) != 0 {
		t.Errorf("%d calls are told again", len(v.Calls))
	}
}

func TestStreamEnds(t *testing.T) {
	p := newTestPage(t, Config{})
	server := httptest.NewServer(p.Handler())
	defer server.Close()
	rsp, err := http.Get(server.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	events := bufio.NewScanner(rsp.Body)
	for _, want := range []string{"event: snapshot", "event: change"} {
		for events.Scan() && !strings.HasPrefix(events.Text(), "event: ") {
		}
		if events.Text() != want {
			t.Fatalf("%q, want %q", events.Text(), want)
		}
	}
	p.Close()
	for events.Scan() {
		if data, found := strings.CutPrefix(events.Text(), "data: "); found && !json.Valid([]byte(data)) {
			t.Errorf("no JSON: %s", data)
		}
	}
	if err := events.Err(); err != nil {
		t.Error(err)
	}
}

// TestSlowReaderIsDropped: who does not read what it asked for holds nothing up for long.
func TestSlowReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPage(t, Config{})
		theirs, ours := net.Pipe()
		defer theirs.Close()
		server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: time.Second}
		listener := &once{connection: ours, closed: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		if _, err := theirs.Write([]byte("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := p.streams.Load(); n != 1 {
			t.Fatalf("%d streams", n)
		}
		time.Sleep(writeTime + time.Second)
		if n := p.streams.Load(); n != 0 {
			t.Errorf("%d streams, of which none is read", n)
		}
		_ = server.Close() // its connection is gone already
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// once is a listener with one connection.
type once struct {
	connection net.Conn
	closed     chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	if c := o.connection; c != nil {
		o.connection = nil
		return c, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}

func (o *once) Close() error {
	close(o.closed)
	return nil
}

func (o *once) Addr() net.Addr { return &net.TCPAddr{} }
