package storetest_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTransactionalStore runs the suite on a store whose records and business
// writes commit together, so that the transactional half of the suite, and of
// the guard, is tested without a database.
func TestTransactionalStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Harness {
		db := &database{rows: make(map[idempotency.StoreKey]row), locks: make(map[idempotency.StoreKey]chan struct{})}
		return storetest.Harness{
			Store: db, Tick: 50 * time.Millisecond, Sleep: db.sleep,
			Write: write, Writes: func(context.Context) (int, error) { return db.count(), nil },
		}
	})
}

// database is a transactional store in memory, with one lock for each key.
type database struct {
	mu     sync.Mutex
	ahead  time.Duration
	rows   map[idempotency.StoreKey]row
	locks  map[idempotency.StoreKey]chan struct{}
	writes int
}

type row struct {
	released bool
	claim    idempotency.Claim
	fence    uint64
	record   []byte
	claimed  time.Time
	ended    time.Time
	until    time.Time
}

func (r *row) show() idempotency.Entry {
	e := idempotency.Entry{
		Key: r.claim.Key, Scope: r.claim.Scope, State: idempotency.Done, Owner: r.claim.Owner, Fence: r.fence,
		Instance: r.claim.Instance, Attempt: r.claim.Attempt, Fingerprint: r.claim.Fingerprint,
		ClaimedAt: r.claimed, EndedAt: r.ended, ExpiresAt: r.until, Record: r.record,
	}
	if r.released {
		e.State = idempotency.Released
	}
	return e
}

func (d *database) sleep(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead += by
}

func (d *database) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

func (d *database) ID(context.Context) (string, error) { return "database", nil }

// lock waits for the owner of a key.
func (d *database) lock(ctx context.Context, c idempotency.Claim) (bool, error) {
	timer := time.NewTimer(c.Wait)
	defer timer.Stop()
	for {
		d.mu.Lock()
		held, ok := d.locks[c.Key]
		if !ok {
			d.locks[c.Key] = make(chan struct{})
		}
		d.mu.Unlock()
		if !ok {
			return true, nil
		}
		select {
		case <-held:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, idempotency.NotApplied(context.Cause(ctx))
		}
	}
}

func (d *database) unlock(key idempotency.StoreKey) {
	close(d.locks[key])
	delete(d.locks, key)
}

func (d *database) Begin(ctx context.Context, c idempotency.Claim) (idempotency.Outcome, error) {
	if ctx.Err() != nil {
		return idempotency.Outcome{}, idempotency.NotApplied(context.Cause(ctx))
	}
	locked, err := d.lock(ctx, c)
	if err != nil || !locked {
		return idempotency.Outcome{State: idempotency.Running}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.find(c.Key)
	switch {
	case ok && !old.released:
		d.unlock(c.Key)
		return idempotency.Outcome{State: idempotency.Done, Record: old.record, Fingerprint: old.claim.Fingerprint}, nil
	case ok && c.Attempt < old.claim.Attempt:
		d.unlock(c.Key)
		return idempotency.Outcome{State: idempotency.Superseded, Attempt: old.claim.Attempt}, nil
	}
	tx := &transaction{db: d, claim: c, fence: old.fence + 1, began: d.now()}
	return idempotency.Outcome{State: idempotency.Acquired, Execution: tx, Fence: tx.fence, Transactional: true}, nil
}

func (d *database) now() time.Time { return time.Now().Add(d.ahead) }

// find returns the row of a key, unless it has expired.
func (d *database) find(key idempotency.StoreKey) (r row, ok bool) {
	if r, ok = d.rows[key]; ok && r.until.After(d.now()) {
		return r, true
	}
	return row{}, false
}

func (d *database) Lookup(_ context.Context, key idempotency.StoreKey) (idempotency.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, held := d.locks[key]; held {
		return idempotency.Entry{Key: key, State: idempotency.Running}, nil
	}
	if r, ok := d.find(key); ok {
		return r.show(), nil
	}
	return idempotency.Entry{Key: key, State: idempotency.Absent}, nil
}

func (d *database) List(_ context.Context, f idempotency.Filter) iter.Seq2[idempotency.Entry, error] {
	d.mu.Lock()
	defer d.mu.Unlock()
	var entries []idempotency.Entry
	for key := range d.rows {
		r, ok := d.find(key)
		if e := r.show(); ok && f.Selects(&e) && d.now().Sub(e.ClaimedAt) >= f.OlderThan {
			e.Record = nil
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b idempotency.Entry) int { return a.ClaimedAt.Compare(b.ClaimedAt) })
	if f.Limit > 0 && f.Limit < len(entries) {
		entries = entries[:f.Limit]
	}
	return func(yield func(idempotency.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (d *database) Resolve(_ context.Context, r idempotency.Resolution) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.find(r.Key)
	_, held := d.locks[r.Key]
	entry := old.show()
	switch {
	case held:
		return idempotency.ErrLive
	case ok && old.claim.Owner == r.Owner:
		return nil
	case !ok || entry.Seen() != r.Seen:
		return idempotency.ErrChanged
	}
	now := d.now()
	old.claim.Owner, old.record, old.released, old.ended = r.Owner, r.Record, r.Record == nil, now
	old.until = now.Add(r.Retention)
	if old.released {
		old.until = now.Add(r.ReleaseMemory)
	}
	d.rows[r.Key] = old
	return nil
}

// transaction holds the writes of one execution until it commits.
type transaction struct {
	db     *database
	claim  idempotency.Claim
	fence  uint64
	began  time.Time
	writes int
	ended  bool
}

type transactionKey struct{}

func write(ctx context.Context) error {
	tx, ok := ctx.Value(transactionKey{}).(*transaction)
	if !ok {
		return errors.New("no transaction")
	}
	tx.db.mu.Lock()
	defer tx.db.mu.Unlock()
	tx.writes++
	return nil
}

func (x *transaction) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, transactionKey{}, x)
}

func (x *transaction) Renew(context.Context) error { return nil }

func (x *transaction) Undo(context.Context) error {
	x.db.mu.Lock()
	defer x.db.mu.Unlock()
	x.writes = 0
	return nil
}

func (x *transaction) Complete(_ context.Context, record []byte) error {
	return x.end(row{record: record}, x.claim.Retention, idempotency.ErrLost)
}

func (x *transaction) Release(context.Context) error {
	x.db.mu.Lock()
	x.writes = 0
	committed := x.ended && !x.db.rows[x.claim.Key].released
	x.db.mu.Unlock()
	if committed {
		return idempotency.ErrLost
	}
	return x.end(row{released: true}, x.claim.ReleaseMemory, nil)
}

// end commits the row and the writes, or says that it was done before.
func (x *transaction) end(r row, keep time.Duration, again error) error {
	x.db.mu.Lock()
	defer x.db.mu.Unlock()
	if x.ended {
		return again
	}
	x.ended = true
	r.claim, r.fence, r.claimed, r.ended = x.claim, x.fence, x.began, x.db.now()
	r.until = r.ended.Add(keep)
	x.db.rows[x.claim.Key] = r
	x.db.writes += x.writes
	x.db.unlock(x.claim.Key)
	return nil
}
