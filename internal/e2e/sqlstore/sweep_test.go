package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/logtest"
)

func wantRows(t *testing.T, db *sql.DB, want int) {
	t.Helper()
	var n int
	must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM oncemore_record").Scan(&n))
	if n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}

// testSweep: what has expired goes, however it came to be, and nothing else.
func testSweep(t *testing.T, b *backend) {
	t.Helper()
	s := b.newPlace(t).store(t, WithDetached(), WithSweepInterval(0))
	const expired, kept = 250, 30 // more than two transactions of a sweep
	for n := range expired + kept {
		claim := claimFor(t, fmt.Sprint("key-", n))
		if n < expired {
			claim.Lease, claim.Retention, claim.ReleaseMemory = time.Millisecond, time.Millisecond, time.Millisecond
		}
		out, err := s.Begin(t.Context(), claim)
		must(t, err)
		switch n % 3 {
		case 0:
			must(t, out.Execution.Complete(t.Context(), []byte("record")))
		case 1:
			must(t, out.Execution.Release(t.Context()))
		}
	}
	wantRows(t, s.db, expired+kept)
	time.Sleep(10 * time.Millisecond)
	swept, err := s.Sweep(t.Context())
	must(t, err)
	if swept != expired {
		t.Errorf("%d rows were swept, want %d", swept, expired)
	}
	wantRows(t, s.db, kept)
	wantState(t, s, claimFor(t, fmt.Sprint("key-", expired+2-expired%3)), map[int]idempotency.State{
		0: idempotency.Done, 1: idempotency.Acquired, 2: idempotency.Running,
	}[(expired+2-expired%3)%3])
	if swept, err = s.Sweep(t.Context()); swept != 0 || err != nil {
		t.Errorf("%d rows were swept again, %v", swept, err)
	}
}

// testSweepUnderLoad: sweeps of several instances and short-lived claims get in
// nobody's way.
func testSweepUnderLoad(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	deadlocks := b.deadlocks(t)
	stores := []*opened{p.store(t, WithSweepInterval(5*time.Millisecond)), p.store(t, WithSweepInterval(5*time.Millisecond))}
	var executed atomic.Int32
	var group sync.WaitGroup
	const workers, rounds, keys = 8, 60, 5
	for w := range workers {
		group.Go(func() {
			s := stores[w%len(stores)]
			for n := range rounds {
				claim := claimFor(t, fmt.Sprint("key-", (w+n)%keys))
				claim.Retention, claim.ReleaseMemory = time.Millisecond, time.Millisecond
				claim.Timeout = 5 * time.Second // a row is looked at when it must have ended
				out, err := s.Begin(t.Context(), claim)
				if err != nil {
					t.Errorf("begin: %v", err)
					return
				}
				if out.State != idempotency.Acquired {
					continue
				}
				executed.Add(1)
				end := func() error { return out.Execution.Release(t.Context()) }
				if n%2 == 0 {
					must(t, write(out.Execution.Context(t.Context()), s.db, "business"))
					end = func() error { return out.Execution.Complete(t.Context(), []byte("record")) }
				}
				if err := end(); err != nil {
					t.Errorf("end: %v", err)
				}
			}
		})
	}
	group.Wait()
	if executed.Load() < workers*rounds/10 {
		t.Errorf("only %d executions", executed.Load())
	}
	waitUntil(t, func() bool {
		var n int
		must(t, stores[0].db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM oncemore_record").Scan(&n))
		return n == 0
	})
	if got := b.deadlocks(t) - deadlocks; got > 3 { // begun again, unseen
		t.Errorf("%d deadlocks", got)
	}
}

// testSweepYields: a sweep leaves a row that a claim holds for the next time.
func testSweepYields(t *testing.T, b *backend) {
	t.Helper()
	s := b.newPlace(t).store(t, WithSweepInterval(0))
	short := claimFor(t, "key")
	short.Retention = time.Millisecond
	out := acquire(t, s, short)
	must(t, write(out.Execution.Context(t.Context()), s.db, "business"))
	must(t, out.Execution.Complete(t.Context(), []byte("record")))
	time.Sleep(10 * time.Millisecond)
	again := acquire(t, s, claimFor(t, "key")) // its transaction has the expired row
	start := time.Now()
	if swept, err := s.Sweep(t.Context()); swept != 0 || err != nil {
		t.Errorf("%d rows were swept, %v", swept, err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the sweep waited for %v", took)
	}
	must(t, again.Execution.Release(t.Context()))
	wantRows(t, s.db, 1) // the release
	if n := s.db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are in use", n)
	}
}

func TestSweeperReportsFailures(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	log := new(logtest.Text)
	s := p.store(t, WithSweepInterval(time.Millisecond), WithLogger(log.Logger()))
	must(t, execIn(t, s.db, "DROP TABLE oncemore_record"))
	waitUntil(t, func() bool { return log.Count("sqlstore: sweep") > 0 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sweep(ctx); err == nil {
		t.Error("a sweep without a table, and under a cancelled context, succeeded")
	}
}
