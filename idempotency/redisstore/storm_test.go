package redisstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// TestStorm sends 200 duplicates of each of 50 keys to three guards with
// clients of their own.
func TestStorm(t *testing.T) {
	server := servertest.StartRedis(t)
	storm(t, func() *Store { return openURL(t, server.URL()) })
}

func TestStormOnCluster(t *testing.T) {
	cluster := servertest.StartRedisCluster(t)
	storm(t, func() *Store { return openCluster(t, cluster) })
}

func storm(t *testing.T, open func() *Store) {
	t.Helper()
	const keys, duplicates = 50, 200
	var guards [3]*idempotency.Guard
	for i := range guards {
		guards[i] = newGuard(t, open())
	}
	l := newLedger()
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range keys {
		key := fmt.Sprintf("storm-%d", i)
		for j := range duplicates {
			group.Go(func() {
				<-start
				reply, err := l.tip(t.Context(), guards[j%len(guards)], key, 20*time.Millisecond)
				if want := key + ": run 1"; err != nil || reply != want {
					t.Errorf("reply = %q, %v, want %q", reply, err, want)
				}
			})
		}
	}
	close(start)
	group.Wait()
	if l.total() != keys || len(l.twice()) != 0 {
		t.Errorf("%d executions, twice %v; want %d and none", l.total(), l.twice(), keys)
	}
}

// TestStoreStorm leaves out the guards, whose duplicates wait in the process:
// every claim reaches Redis, and one of each key's is acquired.
func TestStoreStorm(t *testing.T) {
	server := servertest.StartRedis(t)
	const keys, duplicates = 20, 100
	stores := [3]*Store{openURL(t, server.URL()), openURL(t, server.URL()), openURL(t, server.URL())}
	var mu sync.Mutex
	acquired := make(map[idempotency.StoreKey]int)
	var group sync.WaitGroup
	for range keys {
		key := newKey(t)
		for j := range duplicates {
			c := newTestClaim(t, key)
			group.Go(func() {
				out, err := stores[j%len(stores)].Begin(t.Context(), c)
				switch {
				case err != nil:
					t.Error(err)
				case out.State == idempotency.Acquired:
					mu.Lock()
					defer mu.Unlock()
					acquired[key]++
				case out.State != idempotency.Running:
					t.Errorf("state = %v, want acquired or running", out.State)
				}
			})
		}
	}
	group.Wait()
	for key, n := range acquired {
		if n != 1 {
			t.Errorf("%v was acquired %d times", key, n)
		}
	}
	if len(acquired) != keys {
		t.Errorf("%d keys were acquired, want %d", len(acquired), keys)
	}
}
