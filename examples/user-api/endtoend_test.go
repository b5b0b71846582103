package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// site is a user-api before two hello-srv, each a process of its own.
type site struct {
	transport string
	nodes     []string
	servers   []*proctest.Process
	metrics   []string // where those of the servers are
	traces    string   // the file of all three
	url       string
	api       *proctest.Process
}

// buildPrograms compiles both, since only a process can be killed.
func buildPrograms(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const examples = "github.com/oncemore-dev/oncemore/examples/"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), examples+"hello-srv", examples+"user-api")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return dir
}

func startSite(t *testing.T, programs, transport, store string) *site {
	t.Helper()
	s := &site{transport: transport, traces: filepath.Join(t.TempDir(), "spans")}
	env := []string{"STORE=" + store, "TRACES=" + s.traces}
	if strings.HasPrefix(store, "redis:") {
		env = append(env, "LEDGER=sqlite:"+filepath.Join(t.TempDir(), "ledger.db"))
	}
	for range 2 {
		address := proctest.Address(proctest.ReservePort(t))
		s.nodes = append(s.nodes, address)
		metrics := proctest.Address(proctest.ReservePort(t))
		s.metrics = append(s.metrics, "http://"+metrics)
		own := append(slices.Clone(env), "METRICS_ADDRESS="+metrics)
		s.servers = append(s.servers, program(t, filepath.Join(programs, "hello-srv"), address, own, "--faults",
			"--registry", "memory", "--server", transport, "--server_address", address, "--server_advertise", address))
	}
	address := proctest.Address(proctest.ReservePort(t))
	s.url = "http://" + address
	s.api = program(t, filepath.Join(programs, "user-api"), address,
		[]string{"USER_API_ADDRESS=" + address, "TRACES=" + s.traces, "HELLO_NODES=" + strings.Join(s.nodes, ",")}, "--client", transport)
	return s
}

// program starts a program and waits until it listens.
func program(t *testing.T, path, address string, env []string, args ...string) *proctest.Process {
	t.Helper()
	return proctest.Start(t, proctest.Command{
		Name: filepath.Base(path),
		Path: "/usr/bin/env",
		Args: append(append(env, path), args...),
		Ready: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
}

// answer is what the browser got.
type answer struct {
	status   int
	body     string
	header   http.Header
	replayed bool
}

func (s *site) ask(t *testing.T, method, path, key, body string) answer {
	t.Helper()
	return ask(t, method, s.url+path, key, body)
}

func ask(t *testing.T, method, url, key, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // net/http would repeat a request that has an Idempotency-Key
	if key != "" {
		req.Header.Set(idempotency.HeaderKey, key)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	rsp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(rsp.Body); err != nil {
		t.Fatal(err)
	}
	return answer{
		status: rsp.StatusCode, body: content.String(), header: rsp.Header,
		replayed: rsp.Header.Get(idempotency.HeaderReplayed) == "true",
	}
}

const fiveCents = `{"student":"xuxu","amount_cents":5}`

func (s *site) tip(t *testing.T, key string) answer {
	t.Helper()
	return s.ask(t, http.MethodPost, "/user/tip", key, fiveCents)
}

func (s *site) balance(t *testing.T) string {
	t.Helper()
	return s.ask(t, http.MethodGet, "/user/balance/xuxu", "", "").body
}

func TestEndToEnd(t *testing.T) {
	programs := buildPrograms(t)
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) {
			s := startSite(t, programs, transport, "sqlite:"+filepath.Join(t.TempDir(), "hello.db"))
			t.Run("a tip is sent twice", s.testReplay)
			t.Run("a form is submitted twice", s.testForm)
			t.Run("bad tips", s.testBadTips)
			t.Run("a tip is still running", s.testRunning)
			t.Run("circuits are shown", s.testCircuits)
			t.Run("both sides are measured", s.testMetrics)
			t.Run("both sides are traced", s.testTraces)
			t.Run("no instance is left", s.testNoInstance)
			t.Run("it stops, whoever looks on", s.testStops)
		})
	}
	t.Run("the store is down", func(t *testing.T) {
		redis := servertest.StartRedis(t, "--appendonly", "yes")
		s := startSite(t, programs, fixture.GRPC, redis.URL())
		if a := s.tip(t, "k-1"); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		redis.Kill()
		if a := s.tip(t, "k-2"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("without the store: %d %s", a.status, a.body)
		}
		redis.Restart()
		if a := s.tip(t, "k-1"); a.status != http.StatusOK || !a.replayed {
			t.Errorf("again: %d %s, replayed: %t", a.status, a.body, a.replayed)
		}
		if got := s.balance(t); got != `{"student":"xuxu","balance_cents":5}` {
			t.Errorf("balance %s", got)
		}
	})
}

// testCircuits: Hystrix' dashboard reads one circuit for each instance.
func (s *site) testCircuits(t *testing.T) {
	for range 20 {
		s.ask(t, http.MethodGet, "/user/test", "", "")
	}
	lines, cancel := s.watchCircuits(t)
	defer cancel()
	seen := make(map[string]bool)
	for lines.Scan() && len(seen) < len(s.nodes) {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		var shown struct {
			Type string `json:"type"`
			Name string `json:"name"`
		}
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &shown); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if shown.Type == "HystrixCommand" && strings.HasPrefix(shown.Name, "hello-srv-") {
			seen[shown.Name] = true
		}
	}
	if len(seen) != len(s.nodes) {
		t.Errorf("circuits %v, error %v; want one for each of %d instances", seen, lines.Err(), len(s.nodes))
	}
}

// testStops: a stream that never ends does not keep the server.
func (s *site) testStops(t *testing.T) {
	lines, cancel := s.watchCircuits(t)
	defer cancel()
	if !lines.Scan() {
		t.Fatalf("no stream: %v", lines.Err())
	}
	s.api.Stop() // fails the test if it does not end by itself
}

func (s *site) watchCircuits(t *testing.T) (*bufio.Scanner, func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/hystrix.stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	rsp, err := transport.RoundTrip(req) //nolint:bodyclose // by the function that is returned
	if err != nil {
		t.Fatal(err)
	}
	if got := rsp.Header.Get("Content-Type"); rsp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%s, %s", rsp.Status, got)
	}
	return bufio.NewScanner(rsp.Body), func() {
		if err := rsp.Body.Close(); err != nil {
			t.Log(err)
		}
		transport.CloseIdleConnections()
	}
}

func (s *site) testReplay(t *testing.T) {
	first := s.tip(t, "k-1")
	if first.status != http.StatusOK || first.replayed {
		t.Fatalf("first: %d %s, replayed: %t", first.status, first.body, first.replayed)
	}
	for range 4 { // on both instances
		again := s.tip(t, "k-1")
		if again.status != http.StatusOK || again.body != first.body {
			t.Errorf("again: %d %s, want %s", again.status, again.body, first.body)
		}
		if again.replayed != (s.transport == fixture.GRPC) { // mucp cannot tell
			t.Errorf("again: replayed: %t", again.replayed)
		}
	}
	if got := s.balance(t); got != `{"student":"xuxu","balance_cents":5}` {
		t.Errorf("balance %s", got)
	}
}

func (s *site) testForm(t *testing.T) {
	var form formReply
	if err := json.Unmarshal([]byte(s.ask(t, http.MethodGet, "/user/tip-form", "", "").body), &form); err != nil {
		t.Fatal(err)
	}
	first, second := s.tip(t, form.Token), s.tip(t, form.Token)
	if first.status != http.StatusOK || second.status != http.StatusOK || first.body != second.body {
		t.Errorf("%d %s and %d %s", first.status, first.body, second.status, second.body)
	}
	if got := s.balance(t); got != `{"student":"xuxu","balance_cents":10}` {
		t.Errorf("balance %s", got)
	}
}

func (s *site) testBadTips(t *testing.T) {
	for _, tt := range []struct {
		name, key, body string
		status          int
	}{
		{"no key", "", fiveCents, 400},
		{"bad key", "a b", fiveCents, 400},
		{"forged token", "form.AAAA", fiveCents, 400},
		{"nothing tipped", "k-3", `{"student":"xuxu","amount_cents":0}`, 400},
		{"another tip under the same key", "k-1", `{"student":"xuxu","amount_cents":6}`, 422},
	} {
		if a := s.ask(t, http.MethodPost, "/user/tip", tt.key, tt.body); a.status != tt.status || !strings.Contains(a.body, `"error":`) {
			t.Errorf("%s: %d %s, want %d", tt.name, a.status, a.body, tt.status)
		}
	}
	if got := s.balance(t); got != `{"student":"xuxu","balance_cents":10}` {
		t.Errorf("balance %s", got)
	}
}

// testRunning has somebody else start the same tip, which takes longer than
// user-api waits.
func (s *site) testRunning(t *testing.T) {
	slow := hello.NewWalletService(helloService, fixture.NewClient(t, s.transport, nil))
	ctx, cancel := context.WithCancel(metadata.NewContext(t.Context(), metadata.Metadata{
		idempotency.HeaderKey: "k-slow", "Fault": "sleep=7s",
	}))
	defer cancel()
	go func() {
		_, _ = slow.Tip(ctx, &hello.TipRequest{Student: "xuxu", AmountCents: 5}, func(o *client.CallOptions) {
			o.Address, o.Retries = s.nodes[:1], 0
		}) // it runs on when its caller has left
	}()
	time.Sleep(500 * time.Millisecond)
	a := s.tip(t, "k-slow")
	if a.status != http.StatusConflict || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "same Idempotency-Key") {
		t.Errorf("%d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
	}
	cancel()
	if again := s.tip(t, "k-slow"); again.status != http.StatusOK {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	if got := s.balance(t); got != `{"student":"xuxu","balance_cents":15}` {
		t.Errorf("balance %s", got)
	}
}

func (s *site) testNoInstance(t *testing.T) {
	s.servers[0].Kill()
	if a := s.tip(t, "k-4"); a.status != http.StatusOK {
		t.Errorf("with one instance: %d %s", a.status, a.body)
	}
	s.servers[1].Kill()
	a := s.tip(t, "k-5")
	for range pooledConnections {
		if a.status != http.StatusConflict {
			break
		}
		if !strings.Contains(a.body, "same Idempotency-Key") {
			t.Errorf("broken: %s", a.body)
		}
		a = s.tip(t, "k-5")
	}
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("with none: %d %s", a.status, a.body)
	}
}

// pooledConnections is more than user-api has opened: a call on one that died
// with its instance does not know whether it arrived.
const pooledConnections = 20

// testMetrics: a tip that is sent twice is two calls of user-api's, and of hello-srv's an
// execution and a replay.
func (s *site) testMetrics(t *testing.T) {
	counted := func() (counts [3]float64) {
		counts[0] = metric(t, s.url, "rpc_client_call_duration_seconds_count", `rpc_method="hello-srv/Wallet.Tip"`)
		for _, url := range s.metrics {
			counts[1] += metric(t, url, "oncemore_server_requests_total", `oncemore_outcome="executed"`)
			counts[2] += metric(t, url, "oncemore_server_requests_total", `oncemore_outcome="replayed"`)
			if got := metric(t, url, "oncemore_server_pool_open", `oncemore_pool="ledger"`); got < 1 {
				t.Errorf("%s: %v connections are open", url, got)
			}
			if !strings.Contains(ask(t, http.MethodGet, url+"/metrics", "", "").body, `oncemore_server_keys_orphaned{`) {
				t.Errorf("%s: no keys are counted", url)
			}
		}
		return counts
	}
	before := counted()
	s.tip(t, "measured")
	s.tip(t, "measured")
	after := counted()
	for i, more := range []float64{2, 1, 1} {
		if after[i]-before[i] != more {
			t.Errorf("counted %v, and before %v", after, before)
			break
		}
	}
}

// metric sums the lines of a metric that have a label.
func metric(t *testing.T, url, name, label string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(ask(t, http.MethodGet, url+"/metrics", "", "").body) {
		if !strings.HasPrefix(line, name+"{") || !strings.Contains(line, label) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum += value
	}
	return sum
}
