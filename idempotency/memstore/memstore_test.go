package memstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testClock is a clock that a test moves.
type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time        { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *testClock) sleep(d time.Duration) { c.ahead.Add(int64(d)) }

func mustNew(tb testing.TB, options ...memstore.Option) *memstore.Store {
	tb.Helper()
	store, err := memstore.New(options...)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		clock := &testClock{}
		var writes atomic.Int64
		return storetest.Harness{
			Store: mustNew(t, memstore.WithClock(clock.now)), Stranger: mustNew(t),
			Tick: 500 * time.Millisecond, Sleep: clock.sleep,
			Write:  func(context.Context) error { writes.Add(1); return nil },
			Writes: func(context.Context) (int, error) { return int(writes.Load()), nil },
		}
	})
}

func claim(n int) idempotency.Claim {
	key := sha256.Sum256(fmt.Append(nil, "key", n))
	owner := sha256.Sum256(fmt.Append(nil, "owner", n))
	return idempotency.Claim{
		Key: key, Owner: idempotency.Owner(owner[:16]), Lease: 10 * time.Second,
		Timeout: time.Minute, Retention: time.Hour, ReleaseMemory: time.Minute,
	}
}

func acquire(tb testing.TB, store *memstore.Store, c idempotency.Claim) idempotency.Execution {
	tb.Helper()
	out, err := store.Begin(tb.Context(), c)
	if err != nil || out.State != idempotency.Acquired {
		tb.Fatalf("outcome %v, %v", out.State, err)
	}
	return out.Execution
}

func state(tb testing.TB, store *memstore.Store, c idempotency.Claim) idempotency.State {
	tb.Helper()
	c.Owner = idempotency.Owner{1}
	out, err := store.Begin(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return out.State
}

func TestEntriesAreBounded(t *testing.T) {
	const most = 100
	store := mustNew(t, memstore.WithMaxEntries(most))
	held := acquire(t, store, claim(-1))
	for i := range 50 * most {
		if err := acquire(t, store, claim(i)).Complete(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if n := store.Len(); n > most {
			t.Fatalf("%d entries, at most %d allowed", n, most)
		}
	}
	if store.Len() != most {
		t.Errorf("%d entries are left, want %d", store.Len(), most)
	}
	if got := state(t, store, claim(-1)); got != idempotency.Running {
		t.Errorf("the running claim is %v", got)
	}
	if err := held.Complete(t.Context(), []byte("x")); err != nil {
		t.Errorf("complete: %v", err)
	}
	if got := state(t, store, claim(-1)); got != idempotency.Done {
		t.Errorf("the newest record is %v", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	store := mustNew(t, memstore.WithMaxBytes(10_000))
	record := make([]byte, 1000)
	for i := range 100 {
		if err := acquire(t, store, claim(i)).Complete(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.Len(); n != 10 {
		t.Errorf("%d records of 1,000 bytes are kept, want 10", n)
	}
	if got := state(t, store, claim(99)); got != idempotency.Done {
		t.Errorf("the newest record is %v", got)
	}
}

// A record that is larger than the whole store displaces no other, and is not
// executed again.
func TestRecordLargerThanTheStore(t *testing.T) {
	store := mustNew(t, memstore.WithMaxBytes(1000))
	for i := range 5 {
		if err := acquire(t, store, claim(i)).Complete(t.Context(), make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := acquire(t, store, claim(5)).Complete(t.Context(), make([]byte, 1001)); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if got := state(t, store, claim(i)); got != idempotency.Done {
			t.Errorf("record %d is %v", i, got)
		}
	}
	again := claim(5)
	again.Owner = idempotency.Owner{1}
	out, err := store.Begin(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if record, err := idempotency.DecodeRecord(out.Record); err != nil || record.Content != idempotency.ContentDropped {
		t.Errorf("record %+v, %v", record, err)
	}
}

func TestFullOfRunningClaims(t *testing.T) {
	const most = 10
	store := mustNew(t, memstore.WithMaxEntries(most))
	var first idempotency.Execution
	for i := range most {
		first = acquire(t, store, claim(i))
	}
	_, err := store.Begin(t.Context(), claim(most))
	if !errors.Is(err, memstore.ErrFull) || !errors.Is(err, idempotency.ErrNotApplied) {
		t.Fatalf("error %v", err)
	}
	if store.Len() != most {
		t.Errorf("%d entries", store.Len())
	}
	if err := first.Complete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	acquire(t, store, claim(most)) // in the place of the record
}

func TestExpiredEntriesAreSwept(t *testing.T) {
	clock := &testClock{}
	store := mustNew(t, memstore.WithClock(clock.now))
	const count = 1000
	for i := range count {
		execution, err := acquire(t, store, claim(i)), error(nil)
		switch i % 3 {
		case 0:
			err = execution.Complete(t.Context(), []byte("x"))
		case 1:
			err = execution.Release(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	clock.sleep(2 * time.Hour)
	for i := range count {
		if err := acquire(t, store, claim(count+i)).Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.Len(); n > count+count/10 {
		t.Errorf("%d entries are left, %d of them have not expired", n, count)
	}
}

// A record that has expired is gone, even behind one that has not.
func TestExpiryIsNotInOrder(t *testing.T) {
	clock := &testClock{}
	store := mustNew(t, memstore.WithClock(clock.now))
	long, short := claim(1), claim(2)
	short.Key = long.Key // in the same shard
	short.Key[31] ^= 1
	short.Retention = time.Minute
	for _, c := range []idempotency.Claim{long, short} {
		if err := acquire(t, store, c).Complete(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	clock.sleep(2 * time.Minute)
	if got := state(t, store, short); got != idempotency.Acquired {
		t.Errorf("the expired record is %v", got)
	}
	if got := state(t, store, long); got != idempotency.Done {
		t.Errorf("the other is %v", got)
	}
}

func TestConcurrentClaims(t *testing.T) {
	store := mustNew(t, memstore.WithMaxEntries(50))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 500 {
				mine := claim(i % 60)
				mine.Owner = idempotency.Owner{byte(worker), byte(i), byte(i >> 8), 9}
				out, err := store.Begin(t.Context(), mine)
				switch {
				case errors.Is(err, memstore.ErrFull):
				case err != nil:
					t.Errorf("begin: %v", err)
				case out.State != idempotency.Acquired:
				case i%2 == 0:
					if err := out.Execution.Complete(t.Context(), []byte("x")); err != nil {
						t.Errorf("complete: %v", err)
					}
				default:
					if err := out.Execution.Release(t.Context()); err != nil {
						t.Errorf("release: %v", err)
					}
				}
			}
		})
	}
	group.Wait()
	if n := store.Len(); n > 50 {
		t.Errorf("%d entries", n)
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		option memstore.Option
		want   string
	}{
		{nil, "option 0 is nil"},
		{memstore.WithMaxEntries(0), "WithMaxEntries(0): must be at least 1"},
		{memstore.WithMaxBytes(-1), "WithMaxBytes(-1): must be at least 1"},
		{memstore.WithClock(nil), "WithClock(nil)"},
	} {
		if _, err := memstore.New(test.option); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}
