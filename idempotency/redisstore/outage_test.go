package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// traffic makes calls with ever new keys until it is stopped, and remembers
// what was acknowledged.
type traffic struct {
	ledger *ledger
	group  sync.WaitGroup
	cancel context.CancelFunc
	ctx    context.Context
	ok     atomic.Int64

	mu           sync.Mutex
	acknowledged map[string]string // the reply by key
	failed       map[string]error
}

func startTraffic(tb testing.TB, guards ...*idempotency.Guard) *traffic {
	tb.Helper()
	tr := &traffic{ledger: newLedger(), acknowledged: make(map[string]string), failed: make(map[string]error)}
	tr.ctx, tr.cancel = context.WithCancel(context.Background())
	tb.Cleanup(tr.stop)
	for i, g := range guards {
		for j := range 4 {
			tr.group.Go(func() { tr.drive(g, fmt.Sprintf("key-%d-%d", i, j)) })
		}
	}
	return tr
}

func (tr *traffic) drive(g *idempotency.Guard, name string) {
	for i := 0; tr.ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s-%d", name, i)
		reply, err := tr.ledger.tip(context.Background(), g, key, 0)
		tr.mu.Lock()
		if err != nil {
			tr.failed[key] = err
		} else {
			tr.acknowledged[key] = reply
			tr.ok.Add(1)
		}
		tr.mu.Unlock()
		if err != nil {
			time.Sleep(5 * time.Millisecond) // a server that is down would be asked too often
		}
	}
}

func (tr *traffic) stop() {
	tr.cancel()
	tr.group.Wait()
}

// flows waits for n more calls to be acknowledged.
func (tr *traffic) flows(tb testing.TB, n int64) {
	tb.Helper()
	want := tr.ok.Load() + n
	for start := time.Now(); tr.ok.Load() < want; time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			for key, err := range tr.failed {
				tb.Fatalf("no traffic after %v; %s failed with %v", patience, key, err)
			}
			tb.Fatalf("no traffic after %v", patience)
		}
	}
}

// repeat makes every call once more and returns how many of those that were
// acknowledged were forgotten, so that they ran again, and of how many only the
// claim was left, so that the store says it does not know.
func (tr *traffic) repeat(tb testing.TB, g *idempotency.Guard) (forgotten, unknown int) {
	tb.Helper()
	for key, before := range tr.acknowledged {
		switch reply, err := tr.ledger.tip(tb.Context(), g, key, 0); {
		case errors.Is(err, idempotency.ErrOutcomeUnknown):
			unknown++
		case err != nil:
			tb.Errorf("%s, which was acknowledged, cannot be repeated: %v", key, err)
		case reply != before:
			forgotten++
		}
	}
	for key := range tr.failed {
		_, err := tr.ledger.tip(tb.Context(), g, key, 0)
		if err != nil && !errors.Is(err, idempotency.ErrOutcomeUnknown) {
			tb.Errorf("%s, which had failed, cannot be repeated: %v", key, err)
		}
	}
	return forgotten, unknown
}

// wantUnavailable checks that calls failed because of the store, and in no
// other way: in particular, that nothing ran unrecorded.
func (tr *traffic) wantUnavailable(tb testing.TB) {
	tb.Helper()
	for key, err := range tr.failed {
		if !errors.Is(err, idempotency.ErrUnavailable) && !errors.Is(err, idempotency.ErrLeaseLost) {
			tb.Errorf("%s failed with %v, want %v", key, err, idempotency.ErrUnavailable)
		}
	}
}

// TestKillAndRestart kills Redis while calls are made. With an append-only
// file nothing that was acknowledged is forgotten.
func TestKillAndRestart(t *testing.T) {
	for _, test := range []struct {
		name    string
		args    []string
		durable bool
	}{
		{"without an append-only file", nil, false},
		{"appendfsync everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, true},
		{"appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := servertest.StartRedis(t, test.args...)
			const term = 4 * time.Second // a busy machine takes a second of it to start Redis
			lease := idempotency.WithLease(term)
			tr := startTraffic(t,
				newGuard(t, openURL(t, server.URL()), lease), newGuard(t, openURL(t, server.URL()), lease))
			tr.flows(t, 500)
			server.Kill()
			time.Sleep(100 * time.Millisecond)
			server.Restart()
			tr.flows(t, 100)
			tr.stop()
			time.Sleep(term) // the last leases end
			fresh := newGuard(t, openURL(t, server.URL()))
			forgotten, unknown := tr.repeat(t, fresh)
			tr.wantUnavailable(t)
			t.Logf("%d acknowledged and %d failed; %d acknowledged calls were forgotten and ran again",
				len(tr.acknowledged), len(tr.failed), forgotten)
			if unknown > 0 {
				t.Errorf("of %d acknowledged calls only the claim was left", unknown)
			}
			if test.durable && (forgotten > 0 || len(tr.ledger.twice()) > 0) {
				t.Errorf("%d forgotten, and twice ran %v", forgotten, tr.ledger.twice())
			}
		})
	}
}

// TestFrozenMidRun: while Redis hangs nothing runs unrecorded, and afterwards
// everything goes on by itself.
func TestFrozenMidRun(t *testing.T) {
	server := servertest.StartRedis(t)
	timeout := idempotency.WithStoreTimeout(200 * time.Millisecond)
	tr := startTraffic(t, newGuard(t, openURL(t, server.URL()), timeout), newGuard(t, openURL(t, server.URL()), timeout))
	tr.flows(t, 200)
	server.Freeze()
	time.Sleep(time.Second)
	server.Thaw()
	tr.flows(t, 200)
	tr.stop()
	fresh := newGuard(t, openURL(t, server.URL()))
	if forgotten, unknown := tr.repeat(t, fresh); forgotten > 0 || unknown > 0 || len(tr.ledger.twice()) > 0 {
		t.Errorf("%d forgotten, of %d only the claim was left, and twice ran %v", forgotten, unknown, tr.ledger.twice())
	}
	tr.wantUnavailable(t)
	if len(tr.failed) == 0 {
		t.Error("nobody noticed that the server hung")
	}
	t.Logf("%d acknowledged, %d failed while it hung", len(tr.acknowledged), len(tr.failed))
}

// TestClusterLosesAPrimary kills a primary that has served for a while without
// its replica, and reports what the replica then does not know. With WAIT it
// knows every claim, since it is the only one that can have acknowledged it.
func TestClusterLosesAPrimary(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []Option
	}{
		{"without WAIT", nil},
		{"with WAIT", []Option{WithReplicas(1, 100*time.Millisecond)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := servertest.StartRedisCluster(t)
			lease := idempotency.WithLease(time.Second)
			tr := startTraffic(t,
				newGuard(t, openCluster(t, cluster, test.options...), lease),
				newGuard(t, openCluster(t, cluster, test.options...), lease))
			tr.flows(t, 500)
			primary, replica := pair(t, cluster, "any")
			replica.Freeze()
			if err := dial(t, primary).Do(t.Context(), "CLIENT", "KILL", "TYPE", "replica").Err(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			primary.Kill()
			replica.Thaw()
			awaitFailover(t, cluster, primary, "any")
			tr.flows(t, 200)
			tr.stop()
			time.Sleep(time.Second) // the last leases end
			fresh := newGuard(t, openCluster(t, cluster))
			forgotten, unknown := tr.repeat(t, fresh)
			tr.wantUnavailable(t)
			t.Logf("%d acknowledged and %d failed; %d acknowledged calls were forgotten and ran again, %d left only their claim; %d ran twice in all",
				len(tr.acknowledged), len(tr.failed), forgotten, unknown, len(tr.ledger.twice()))
			if test.options != nil && (forgotten > 0 || len(tr.ledger.twice()) > 0) {
				t.Errorf("%d forgotten, and twice ran %v", forgotten, tr.ledger.twice())
			}
		})
	}
}

// TestWatchSurvivesFailover kills the node that the subscriptions are on.
func TestWatchSurvivesFailover(t *testing.T) {
	cluster := servertest.StartRedisCluster(t)
	one, two := openCluster(t, cluster), openCluster(t, cluster)
	primary, _ := pair(t, cluster, one.channel())
	primary.Kill()
	awaitFailover(t, cluster, primary, one.channel())
	woken := func() bool {
		c := newTestClaim(t, newKey(t))
		out, err := one.Begin(t.Context(), c)
		if err != nil {
			return false
		}
		wake, stop, err := two.Watch(t.Context(), c.Key)
		if err != nil {
			return false
		}
		defer stop()
		if err := out.Execution.Complete(t.Context(), nil); err != nil {
			return false
		}
		select {
		case <-wake:
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	}
	start := time.Now()
	for !woken() {
		if time.Since(start) > time.Minute {
			t.Fatal("nobody is woken after the failover")
		}
	}
	t.Logf("woken %v after the failover", time.Since(start))
}

// pair returns the primary of a key and its replica.
func pair(t *testing.T, cluster *servertest.RedisCluster, key string) (primary, replica *servertest.Server) {
	t.Helper()
	primary, err := cluster.Primary(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := dial(t, primary).Info(t.Context(), "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	follower := parseInfo(text)["slave0"] // ip=…,port=…,state=…
	i := slices.IndexFunc(cluster.Nodes(), func(node *servertest.Server) bool {
		var ip string
		var port int
		if _, err := fmt.Sscanf(follower, "ip=%9s,port=%d", &ip, &port); err != nil {
			t.Fatalf("%q: %v", follower, err)
		}
		return node.Address() == fmt.Sprintf("%s:%d", ip, port)
	})
	if i < 0 {
		t.Fatalf("no node is the replica %q", follower)
	}
	return primary, cluster.Nodes()[i]
}

func awaitFailover(t *testing.T, cluster *servertest.RedisCluster, lost *servertest.Server, key string) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		now, err := cluster.Primary(t.Context(), key)
		if err == nil && now != lost {
			return
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("no replica has taken over: %v", err)
		}
	}
}
