package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

func testConformance(t *testing.T, b *backend) {
	// Most of the suite is waiting, so both at once.
	t.Run("Transactional", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, harness(b))
	})
	t.Run("Detached", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, harness(b, WithDetached()))
	})
}

func harness(b *backend, options ...Option) storetest.Factory {
	return func(t *testing.T) storetest.Harness {
		p := b.newPlace(t)
		db := p.open(t)
		h := storetest.Harness{
			Store:     storeOn(t, db, options...),
			Other:     p.store(t, options...),
			Stranger:  b.newPlace(t).store(t, options...),
			OneWriter: b.dialect == SQLite,
			Tick:      700 * time.Millisecond,
			Write:     func(ctx context.Context) error { return write(ctx, db, "suite") },
			Writes:    func(ctx context.Context) (int, error) { return writes(ctx, db, "") },
		}
		if b.server != nil { // SQLite has no clock but its host's
			h.Skewed = storetest.Skew(func(t *testing.T) idempotency.Store { return p.store(t, options...) })
		}
		return h
	}
}
