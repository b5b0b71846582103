package redisstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// startSentinel watches over a primary called main and returns its own address.
func startSentinel(t *testing.T, primary *servertest.Server) string {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(primary.Address())
	if err != nil {
		t.Fatal(err)
	}
	mine := proctest.ReservePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor main %s %s 1\n"+
		"sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n", mine, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := proctest.Address(mine)
	proctest.Start(t, proctest.Command{
		Name: "Sentinel at " + address, Path: program, Args: []string{file, "--sentinel"},
		Ready: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
	return address
}

// TestSentinelFailover kills the primary that Sentinel has named. Calls go on
// by themselves on the replica, which has what it had acknowledged.
func TestSentinelFailover(t *testing.T) {
	primary := servertest.StartRedis(t)
	host, port, err := net.SplitHostPort(primary.Address())
	if err != nil {
		t.Fatal(err)
	}
	servertest.StartRedis(t, "--replicaof", host, port)
	sentinel := startSentinel(t, primary)
	url := "redis://" + sentinel + "?master_name=main&read_timeout=1s"
	s := openURL(t, url, WithReplicas(1, 500*time.Millisecond))

	before := newTestClaim(t, newKey(t))
	until(t, "a replica acknowledges", func() error {
		out, err := s.Begin(t.Context(), before)
		if err == nil {
			err = out.Execution.Complete(t.Context(), []byte("record"))
		}
		return err
	})
	watcher := redis.NewSentinelClient(&redis.Options{Addr: sentinel})
	defer func() {
		if err := watcher.Close(); err != nil {
			t.Error(err)
		}
	}()
	until(t, "Sentinel knows the replica", func() error {
		replicas, err := watcher.Replicas(t.Context(), "main").Result()
		if err == nil && len(replicas) != 1 {
			err = fmt.Errorf("it knows %d", len(replicas))
		}
		return err
	})
	primary.Kill()

	after := openURLWhenUp(t, url)
	if out := begin(t, after, newTestClaim(t, before.Key)); out.State != idempotency.Done {
		t.Errorf("state = %v after the failover, want done", out.State)
	}
	until(t, "the old store is on the new primary", func() error {
		_, err := s.Begin(t.Context(), newTestClaim(t, before.Key))
		return err
	})
}

func until(t *testing.T, what string, done func() error) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := done()
		if err == nil {
			return
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("never: %s: %v", what, err)
		}
	}
}

// openURLWhenUp waits until there is a primary.
func openURLWhenUp(t *testing.T, url string) (s *Store) {
	t.Helper()
	until(t, "there is a primary", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		opened, err := Open(ctx, url)
		s = opened
		return err
	})
	closeAtEnd(t, s)
	return s
}
