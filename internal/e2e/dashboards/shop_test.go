package dashboards

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// shop is two hello-srv, which keep their records in a Redis, and a user-api before them.
type shop struct {
	store *servertest.Server
	hello []*proctest.Process
	nodes []string // where these are
	url   string
	jobs  map[string][]string // where the metrics are
}

// slowTime is what one call in ten takes, so that something runs whenever an instance dies.
const slowTime = 200 * time.Millisecond

func openShop(t *testing.T) *shop {
	t.Helper()
	programs := buildPrograms(t)
	s := &shop{store: servertest.StartRedis(t), jobs: make(map[string][]string)}
	ledger := "LEDGER=sqlite:" + filepath.Join(t.TempDir(), "ledger.db")
	for range 2 {
		address, metrics := reserve(t), reserve(t)
		s.nodes, s.jobs["hello-srv"] = append(s.nodes, address), append(s.jobs["hello-srv"], metrics)
		s.hello = append(s.hello, start(t, address, []string{"STORE=" + s.store.URL(), ledger, "METRICS_ADDRESS=" + metrics},
			filepath.Join(programs, "hello-srv"), "--registry", "memory", "--server_address", address, "--slow", slowTime.String()))
	}
	address := reserve(t)
	s.url, s.jobs["user-api"] = "http://"+address, []string{address}
	// Nobody vouches for the keys: a tip whose instance dies is not sent again, and ambiguous.
	start(t, address, []string{"USER_API_ADDRESS=" + address, "HELLO_NODES=" + strings.Join(s.nodes, ","), "HELLO_KEYS=announced", "CLIENT=hedged"},
		filepath.Join(programs, "user-api"))
	return s
}

// buildPrograms compiles the examples, in their own module.
func buildPrograms(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-C", root+"examples", "-o", dir+string(filepath.Separator), "./hello-srv", "./user-api")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return dir
}

func reserve(t *testing.T) string {
	t.Helper()
	return proctest.Address(proctest.ReservePort(t))
}

// start starts a program and waits until it listens.
func start(t *testing.T, address string, env []string, path string, args ...string) *proctest.Process {
	t.Helper()
	return proctest.Start(t, proctest.Command{
		Name: filepath.Base(path), Path: "/usr/bin/env", Args: append(append(env, path), args...),
		Ready: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
}

// customers is how many ask at once.
const customers = 8

// crowd has customers greet and tip until the test ends: some tips are sent twice, at once
// or one after the other, and one in a while is another tip with the same key.
func (s *shop) crowd(t *testing.T) {
	ctx, leave := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var answered atomic.Int64
	for customer := range customers {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if s.visit(ctx, fmt.Sprintf("c%d-%d", customer, n), n) {
					answered.Add(1)
				}
			}
		})
	}
	t.Cleanup(func() {
		leave()
		all.Wait()
		if answered.Load() == 0 {
			t.Error("no customer was answered")
		}
	})
}

// visit is what a customer does, who takes what is answered, since the dashboard is to show it.
func (s *shop) visit(ctx context.Context, key string, n int) (answered bool) {
	const tip, other = `{"student":"xuxu","amount_cents":5}`, `{"student":"xuxu","amount_cents":6}`
	status, _, err := send(ctx, http.MethodGet, s.url+"/user/test", "", "")
	var again sync.WaitGroup
	again.Go(func() { s.tip(ctx, key, tip) })
	s.tip(ctx, key, tip)
	again.Wait()
	s.tip(ctx, key, tip)
	if n%10 == 0 {
		s.tip(ctx, key, other)
	}
	return err == nil && status == http.StatusOK
}

func (s *shop) tip(ctx context.Context, key, body string) {
	_, _, _ = send(ctx, http.MethodPost, s.url+"/user/tip", key, body) //nolint:dogsled // see visit
}

// send makes one request on a connection of its own, so that net/http repeats nothing.
func send(ctx context.Context, method, url, key, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.GetBody, req.Close = nil, true
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	rsp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = rsp.Body.Close() }()
	answer, err = io.ReadAll(rsp.Body)
	return rsp.StatusCode, answer, err
}
