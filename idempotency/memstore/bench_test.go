package memstore_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// benchClaim returns the n-th claim without hashing: its bytes are spread as
// those of a hash are.
func benchClaim(n int) idempotency.Claim {
	c := idempotency.Claim{
		Lease: 10 * time.Second, Timeout: time.Minute, Retention: time.Hour, ReleaseMemory: time.Minute,
	}
	binary.BigEndian.PutUint64(c.Key[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(c.Owner[:], uint64(n))
	return c
}

func fill(b *testing.B, store *memstore.Store, keys int, record []byte) {
	b.Helper()
	for i := range keys {
		if err := acquire(b, store, benchClaim(i)).Complete(b.Context(), record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStore measures a store that is full: a first call claims, completes
// and makes the store forget its oldest record.
func BenchmarkStore(b *testing.B) {
	record := make([]byte, 64)
	for _, keys := range []int{1e3, 1e5, 1e6} {
		b.Run(fmt.Sprintf("first/keys=%.0e", float64(keys)), func(b *testing.B) {
			store := mustNew(b, memstore.WithMaxEntries(keys))
			fill(b, store, keys, record)
			next := keys
			b.ReportAllocs()
			for b.Loop() {
				out, err := store.Begin(b.Context(), benchClaim(next))
				if err != nil || out.State != idempotency.Acquired {
					b.Fatal(out.State, err)
				}
				if err := out.Execution.Complete(b.Context(), record); err != nil {
					b.Fatal(err)
				}
				next++
			}
		})
		b.Run(fmt.Sprintf("replay/keys=%.0e", float64(keys)), func(b *testing.B) {
			store := mustNew(b, memstore.WithMaxEntries(keys))
			fill(b, store, keys, record)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(loop *testing.PB) {
				for n := 0; loop.Next(); n++ {
					out, err := store.Begin(b.Context(), benchClaim(n*7919%keys))
					if err != nil || out.State != idempotency.Done {
						b.Error(out.State, err)
						return
					}
				}
			})
		})
	}
}
