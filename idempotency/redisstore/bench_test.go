package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// benchRecord is a reply of a usual size.
var benchRecord = make([]byte, 200)

// way is one way to record a call, or to find that it was recorded.
type way struct {
	name  string
	first func(ctx context.Context, key idempotency.StoreKey) error
	again func(ctx context.Context, key idempotency.StoreKey) error
}

// ways are this store and what is commonly done in its place, through the same
// client. The second races, and the third leaves a key for ever when its owner
// dies; neither knows whose record it overwrites.
func ways(s *Store, client *redis.Client) []way {
	const hour = time.Hour
	claim := func(ctx context.Context, key idempotency.StoreKey) (idempotency.Outcome, error) {
		c := idempotency.Claim{Key: key, Lease: 10 * time.Second, Timeout: hour, Retention: hour, ReleaseMemory: hour}
		if _, err := rand.Read(c.Owner[:]); err != nil {
			return idempotency.Outcome{}, err
		}
		return s.Begin(ctx, c)
	}
	get := func(ctx context.Context, key idempotency.StoreKey) error {
		err := client.Get(ctx, s.name(key)).Err()
		if err == redis.Nil {
			return nil
		}
		return err
	}
	set := func(ctx context.Context, key idempotency.StoreKey) error {
		return client.Set(ctx, s.name(key), benchRecord, hour).Err()
	}
	return []way{
		{
			"redisstore",
			func(ctx context.Context, key idempotency.StoreKey) error {
				out, err := claim(ctx, key)
				if err != nil {
					return err
				}
				return out.Execution.Complete(ctx, benchRecord)
			},
			func(ctx context.Context, key idempotency.StoreKey) error {
				out, err := claim(ctx, key)
				if err == nil && out.State != idempotency.Done {
					err = fmt.Errorf("state = %v", out.State)
				}
				return err
			},
		},
		{
			"GET-SET",
			func(ctx context.Context, key idempotency.StoreKey) error {
				if err := get(ctx, key); err != nil {
					return err
				}
				return set(ctx, key)
			},
			get,
		},
		{
			"SETNX-GET-SET",
			func(ctx context.Context, key idempotency.StoreKey) error {
				if err := client.SetNX(ctx, s.name(key), "running", hour).Err(); err != nil {
					return err
				}
				if err := get(ctx, key); err != nil {
					return err
				}
				return set(ctx, key)
			},
			func(ctx context.Context, key idempotency.StoreKey) error {
				if err := client.SetNX(ctx, s.name(key), "running", hour).Err(); err != nil {
					return err
				}
				return get(ctx, key)
			},
		},
	}
}

// BenchmarkFirstCall claims and completes.
func BenchmarkFirstCall(b *testing.B) {
	client := dial(b, servertest.StartRedis(b))
	for _, w := range ways(newTestStore(b, client), client) {
		b.Run(w.name, func(b *testing.B) {
			key := newKey(b)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(key[:], i)
				if err := w.first(context.Background(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDuplicate finds a record.
func BenchmarkDuplicate(b *testing.B) {
	client := dial(b, servertest.StartRedis(b))
	for _, w := range ways(newTestStore(b, client), client) {
		b.Run(w.name, func(b *testing.B) {
			key := newKey(b)
			if err := w.first(context.Background(), key); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := w.again(context.Background(), key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSideBySide takes turns between the ways, so that a busy machine is
// unfair to all of them alike, and reports their throughput against GET-SET's.
func BenchmarkSideBySide(b *testing.B) {
	const turn = 200
	for _, concurrency := range []int{1, 8, 64} {
		for _, duplicate := range []bool{false, true} {
			b.Run(fmt.Sprintf("concurrency=%d/duplicate=%v", concurrency, duplicate), func(b *testing.B) {
				client := dialWith(b, servertest.StartRedis(b), func(o *redis.Options) { o.PoolSize = 64 })
				all := ways(newTestStore(b, client), client)
				took := make([]time.Duration, len(all))
				for b.Loop() {
					for i, w := range all {
						took[i] += takeTurn(b, w, turn, concurrency, duplicate)
					}
				}
				for i, w := range all {
					b.ReportMetric(float64(took[1])/float64(took[i]), w.name)
				}
			})
		}
	}
}

// takeTurn makes n calls, spread over goroutines, and returns how long they took.
func takeTurn(b *testing.B, w way, n, goroutines int, duplicate bool) time.Duration {
	b.Helper()
	key, do := newKey(b), w.first
	if duplicate {
		if err := w.first(context.Background(), key); err != nil {
			b.Fatal(err)
		}
		do = w.again
	}
	var group sync.WaitGroup
	start := time.Now()
	for g := range goroutines {
		group.Go(func() {
			for i := g; i < n; i += goroutines {
				key := key
				if !duplicate {
					binary.BigEndian.PutUint64(key[:], uint64(i))
				}
				if err := do(context.Background(), key); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}

// BenchmarkWakeUp measures from the completion in one process to the record in
// the hands of one that waits in another.
func BenchmarkWakeUp(b *testing.B) {
	server := servertest.StartRedis(b)
	here, there := openURL(b, server.URL()), openURL(b, server.URL())
	var took []time.Duration
	for b.Loop() {
		c := newTestClaim(b, newKey(b))
		e := acquire(b, here, c)
		wake, stop, err := there.Watch(context.Background(), c.Key)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		complete(b, e, "record")
		<-wake
		if out := begin(b, there, newTestClaim(b, c.Key)); out.State != idempotency.Done {
			b.Fatalf("state = %v, want done", out.State)
		}
		took = append(took, time.Since(start))
		stop()
	}
	slices.Sort(took)
	for name, part := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
		b.ReportMetric(float64(took[len(took)*part/100].Microseconds()), name)
	}
}
