package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func openURL(tb testing.TB, url string, options ...Option) *Store {
	tb.Helper()
	s, err := Open(context.Background(), url, options...)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, s)
	return s
}

// closeAtEnd closes what the test may have closed already.
func closeAtEnd(tb testing.TB, c io.Closer) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			tb.Error(err)
		}
	})
}

// openCluster returns a store of a client of its own.
func openCluster(tb testing.TB, c *servertest.RedisCluster, options ...Option) *Store {
	tb.Helper()
	nodes := c.Addresses()
	return openURL(tb, "redis://"+nodes[0]+"?read_timeout=1s&addr="+strings.Join(nodes[1:], "&addr="), options...)
}

// newKey returns a key that nobody has used.
func newKey(tb testing.TB) (key idempotency.StoreKey) {
	tb.Helper()
	if _, err := rand.Read(key[:]); err != nil {
		tb.Fatal(err)
	}
	return key
}

func newOwner(tb testing.TB) (owner idempotency.Owner) {
	tb.Helper()
	if _, err := rand.Read(owner[:]); err != nil {
		tb.Fatal(err)
	}
	return owner
}

func newTestClaim(tb testing.TB, key idempotency.StoreKey) idempotency.Claim {
	tb.Helper()
	return idempotency.Claim{
		Key: key, Owner: newOwner(tb), Fingerprint: idempotency.Fingerprint{1, 2, 3}, Instance: "host-7:4711",
		Scope: idempotency.Scope{Service: "redisstore", Endpoint: "Wallet.Tip", Caller: "bob", Key: key.String()},
		Lease: time.Minute, Timeout: time.Minute, Retention: time.Hour, ReleaseMemory: time.Hour,
	}
}

func begin(tb testing.TB, s *Store, c idempotency.Claim) idempotency.Outcome {
	tb.Helper()
	out, err := s.Begin(context.Background(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func acquire(tb testing.TB, s *Store, c idempotency.Claim) idempotency.Execution {
	tb.Helper()
	out := begin(tb, s, c)
	if out.State != idempotency.Acquired {
		tb.Fatalf("state = %v, want acquired", out.State)
	}
	return out.Execution
}

func complete(tb testing.TB, e idempotency.Execution, record string) {
	tb.Helper()
	if err := e.Complete(context.Background(), []byte(record)); err != nil {
		tb.Fatal(err)
	}
}

// dial returns a bare client of a server.
func dial(tb testing.TB, server *servertest.Server) *redis.Client {
	tb.Helper()
	return dialWith(tb, server, func(*redis.Options) {})
}

func dialWith(tb testing.TB, server *servertest.Server, change func(*redis.Options)) *redis.Client {
	tb.Helper()
	o, err := redis.ParseURL(server.URL())
	if err != nil {
		tb.Fatal(err)
	}
	o.ContextTimeoutEnabled = true
	change(o)
	client := redis.NewClient(o)
	closeAtEnd(tb, client)
	return client
}

func newTestStore(tb testing.TB, client redis.UniversalClient, options ...Option) *Store {
	tb.Helper()
	s, err := New(context.Background(), client, options...)
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, s)
	return s
}

// loadScripts makes the server know the scripts, as it does after the first
// use of each.
func loadScripts(tb testing.TB, s *Store) {
	tb.Helper()
	for _, script := range []script{s.scripts.claim, s.scripts.complete, s.scripts.release, s.scripts.renew, s.scripts.watch} {
		if err := s.client.ScriptLoad(context.Background(), script.source).Err(); err != nil {
			tb.Fatal(err)
		}
	}
}
