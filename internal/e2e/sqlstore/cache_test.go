package sqlstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/logtest"
)

// front is a cache in a map.
type front struct {
	mu      sync.Mutex
	records map[idempotency.StoreKey]cachedRecord
	broken  error
}

type cachedRecord struct {
	record    []byte
	print     idempotency.Fingerprint
	retention time.Duration
}

func (f *front) GetRecord(_ context.Context, key idempotency.StoreKey) ([]byte, idempotency.Fingerprint, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.records[key]
	return r.record, r.print, ok && f.broken == nil, f.broken
}

// only returns the one record that the cache has.
func (f *front) only(t *testing.T) (r cachedRecord) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.records) != 1 {
		t.Errorf("the cache has %d records, want 1", len(f.records))
	}
	for _, r = range f.records {
	}
	return r
}

func (f *front) PutRecord(
	_ context.Context, key idempotency.StoreKey, record []byte, fingerprint idempotency.Fingerprint, retention time.Duration,
) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	if f.records == nil {
		f.records = make(map[idempotency.StoreKey]cachedRecord)
	}
	f.records[key] = cachedRecord{record, fingerprint, retention}
	return nil
}

// testCache: the cache is filled by completions and by replays, with what is
// left of the retention, and answers without the database.
func testCache(t *testing.T, b *backend) {
	t.Helper()
	for name, options := range map[string][]Option{"Transactional": nil, "Detached": {WithDetached()}} {
		t.Run(name, func(t *testing.T) {
			p := b.newPlace(t)
			mine, theirs := &front{}, &front{}
			here := p.store(t, append(options, WithCache(mine))...)
			there := p.store(t, append(options, WithCache(theirs))...)
			claim := claimFor(t, "key")
			claim.Fingerprint[0] = 1
			out := acquire(t, here, claim)
			if len(mine.records) != 0 {
				t.Error("a claim is in the cache")
			}
			must(t, write(out.Execution.Context(t.Context()), here.db, "business"))
			must(t, out.Execution.Complete(t.Context(), []byte("record")))
			wantState(t, there, claimFor(t, "key"), idempotency.Done)
			for who, f := range map[string]*front{"the writer's": mine, "the reader's": theirs} {
				r := f.only(t)
				if string(r.record) != "record" || r.print != claim.Fingerprint ||
					r.retention > claim.Retention || r.retention < claim.Retention-time.Minute {
					t.Errorf("%s cache has %+v", who, r)
				}
			}
			must(t, execIn(t, here.db, "DELETE FROM oncemore_record"))
			done := wantState(t, there, claimFor(t, "key"), idempotency.Done)
			if string(done.Record) != "record" || done.Fingerprint != claim.Fingerprint {
				t.Errorf("outcome %+v", done)
			}
		})
	}
}

func TestBrokenCacheFailsNoCall(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	log := new(logtest.Text)
	s := p.store(t, WithCache(&front{broken: errors.New("no memory")}), WithLogger(log.Logger()))
	out := acquire(t, s, claimFor(t, "key"))
	must(t, write(out.Execution.Context(t.Context()), s.db, "business"))
	must(t, out.Execution.Complete(t.Context(), []byte("record")))
	wantState(t, s, claimFor(t, "key"), idempotency.Done)
	for _, text := range []string{"read the cache", "fill the cache", "no memory"} {
		if log.Count(text) == 0 {
			t.Errorf("the log does not say %q", text)
		}
	}
}

func (f *front) ForgetRecord(_ context.Context, key idempotency.StoreKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.records, key)
	return f.broken
}

// hung is a cache that answers nothing, in any time.
type hung struct{}

func (hung) GetRecord(ctx context.Context, _ idempotency.StoreKey) ([]byte, idempotency.Fingerprint, bool, error) {
	<-ctx.Done()
	return nil, idempotency.Fingerprint{}, false, ctx.Err()
}

func (hung) PutRecord(ctx context.Context, _ idempotency.StoreKey, _ []byte, _ idempotency.Fingerprint, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hung) ForgetRecord(ctx context.Context, _ idempotency.StoreKey) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestHungCacheFailsNoCall: a cache that hangs leaves a call its time for the
// database.
func TestHungCacheFailsNoCall(t *testing.T) {
	p := startBackend(t, SQLite).newPlace(t)
	i := p.instance(t, 4, WithCache(hung{}), WithLogger(new(logtest.Text).Logger()))
	for range 2 { // a first call, and a replay
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		reply, err := i.call(ctx, "key", 0, func(ctx context.Context) error { return write(ctx, i.db, "business") })
		if err != nil || reply != "key was executed" {
			t.Errorf("reply %q, %v", reply, err)
		}
	}
	wantWrites(t, i.db, "business", 1)
}
