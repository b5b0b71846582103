package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// record is a recorded reply of a usual size.
var record = make([]byte, 200)

// BenchmarkMemstore is one execution, claim and record, and one replay, in a
// store that holds as many records as it may.
func BenchmarkMemstore(b *testing.B) {
	for _, keys := range []int{1e3, 1e5, 1e6} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			store, err := memstore.New(memstore.WithMaxEntries(keys), memstore.WithMaxBytes(1<<40))
			must(b, err)
			n := uint64(keys)
			for i := range n {
				must(b, execute(b.Context(), store, claim(i)))
			}
			b.Run("call=duplicate", func(b *testing.B) {
				b.ReportAllocs()
				for i := uint64(0); b.Loop(); i++ {
					out, err := store.Begin(b.Context(), claim(i%n))
					if err != nil || out.State != idempotency.Done || len(out.Record) != len(record) {
						b.Fatalf("state %v, %d bytes, %v", out.State, len(out.Record), err)
					}
				}
			})
			b.Run("call=first", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					must(b, execute(b.Context(), store, claim(n)))
					n++
				}
			})
		})
	}
}

// execute claims the key, does nothing, and records it.
func execute(ctx context.Context, s idempotency.Store, c idempotency.Claim) error {
	out, err := s.Begin(ctx, c)
	if err != nil {
		return err
	}
	if out.State != idempotency.Acquired {
		return fmt.Errorf("state %v, want acquired", out.State)
	}
	return out.Execution.Complete(ctx, record)
}

// claim is the claim of the nth key, by an owner of its own. It costs next to
// nothing, since it is made where it is measured, and spreads the keys as a
// hash would (Knuth, The Art of Computer Programming, section 6.4).
func claim(n uint64) idempotency.Claim {
	c := idempotency.Claim{
		Lease: time.Hour, Timeout: time.Hour, Retention: 24 * time.Hour, ReleaseMemory: time.Hour,
	}
	binary.BigEndian.PutUint64(c.Owner[:], n)
	binary.BigEndian.PutUint64(c.Key[:], (n+1)*0x9e3779b97f4a7c15)
	return c
}
