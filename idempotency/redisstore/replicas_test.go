package redisstore

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// TestTooFewReplicas: what no replica has acknowledged is not executed, and the
// same owner has its claim once one has.
func TestTooFewReplicas(t *testing.T) {
	server := servertest.StartRedis(t, "--repl-diskless-sync-delay", "0")
	s := openURL(t, server.URL(), WithReplicas(1, time.Second))
	c := newTestClaim(t, newKey(t))
	if _, err := s.Begin(t.Context(), c); !errors.Is(err, ErrReplicas) || errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("begin: %v, want ErrReplicas, since the claim is there", err)
	}
	l := newLedger()
	if _, err := l.tip(t.Context(), newGuard(t, s), "key", 0); !errors.Is(err, idempotency.ErrUnavailable) || l.total() != 0 {
		t.Errorf("call: %v with %d executions, want ErrUnavailable and none", err, l.total())
	}

	replica := servertest.StartRedis(t)
	follow(t, replica, server)
	e := acquire(t, s, c)
	complete(t, e, "record")
	replica.Freeze()
	if err := e.Complete(t.Context(), []byte("record")); !errors.Is(err, ErrReplicas) {
		t.Errorf("complete beside a frozen replica: %v, want ErrReplicas", err)
	}
	if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Done || string(out.Record) != "record" {
		t.Errorf("a replay beside a frozen replica: %+v", out)
	}
	replica.Thaw()
}

// follow makes one server the replica of another, and waits until it is in step.
func follow(t *testing.T, replica, primary *servertest.Server) {
	t.Helper()
	p := dial(t, primary)
	host, port, err := net.SplitHostPort(primary.Address())
	if err == nil {
		err = dial(t, replica).Do(t.Context(), "REPLICAOF", host, port).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		n, err := p.Wait(t.Context(), 1, 100*time.Millisecond).Result()
		if err == nil && n == 1 {
			return
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("no replica is in step: %d, %v", n, err)
		}
	}
}

// TestMigratingSlot: a key that is claimed while its slot migrates lives on the
// primary that the slot migrates to.
func TestMigratingSlot(t *testing.T) {
	cluster := servertest.StartRedisCluster(t)
	for name, options := range map[string][]Option{
		"without WAIT": nil, "with WAIT": {WithReplicas(1, 900*time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			s := openCluster(t, cluster, options...)
			c := newTestClaim(t, newKey(t))
			end := migrate(t, cluster, s.name(c.Key))
			e := acquire(t, s, c)
			if err := e.Renew(t.Context()); err != nil {
				t.Error(err)
			}
			if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Running {
				t.Errorf("state = %v, want running", out.State)
			}
			complete(t, e, "record")
			end()
			if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Done {
				t.Errorf("state = %v after the migration, want done", out.State)
			}
		})
	}
}

// migrate begins to move the slot of a key, which is absent, to another
// primary; end completes that.
func migrate(t *testing.T, cluster *servertest.RedisCluster, key string) (end func()) {
	t.Helper()
	do := func(node *servertest.Server, words ...any) any {
		answer, err := dial(t, node).Do(t.Context(), words...).Result()
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		return answer
	}
	from, err := cluster.Primary(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	to := otherPrimary(t, cluster, from)
	slot := do(from, "CLUSTER", "KEYSLOT", key)
	fromID, toID := do(from, "CLUSTER", "MYID"), do(to, "CLUSTER", "MYID")
	do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	return func() {
		do(to, "CLUSTER", "SETSLOT", slot, "NODE", toID)
		do(from, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
}

func otherPrimary(t *testing.T, cluster *servertest.RedisCluster, than *servertest.Server) *servertest.Server {
	t.Helper()
	for _, node := range cluster.Nodes() {
		text, err := dial(t, node).Info(t.Context(), "replication").Result()
		if err != nil {
			t.Fatal(err)
		}
		if node != than && parseInfo(text)["role"] == "master" {
			return node
		}
	}
	t.Fatal("there is no other primary")
	return nil
}
