package memstore

import (
	"context"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// cacheLease is how long a claim lasts that only puts a record in: it is done
// at once.
const cacheLease = time.Minute

// GetRecord returns the record of a key that is done, which makes the store a
// front for one that is slower, such as sqlstore.WithCache takes. It never
// fails.
func (s *Store) GetRecord(_ context.Context, key idempotency.StoreKey) (
	record []byte, fingerprint idempotency.Fingerprint, found bool, err error,
) {
	at := s.shardOf(key)
	at.mu.Lock()
	defer at.mu.Unlock()
	e := at.entries[key]
	if e == nil || e.state != done || e.expired(s.now()) {
		return nil, idempotency.Fingerprint{}, false, nil
	}
	return e.record, e.fingerprint, true, nil
}

// ForgetRecord forgets the record of a key that is done. It never fails.
func (s *Store) ForgetRecord(_ context.Context, key idempotency.StoreKey) error {
	at := s.shardOf(key)
	at.mu.Lock()
	defer at.mu.Unlock()
	if e := at.entries[key]; e != nil && e.state == done {
		s.remove(at, e)
	}
	return nil
}

// PutRecord keeps a record for the retention, if the key is absent. The error is
// [ErrFull].
func (s *Store) PutRecord(
	ctx context.Context, key idempotency.StoreKey, record []byte, fingerprint idempotency.Fingerprint, retention time.Duration,
) error {
	out, err := s.Begin(ctx, idempotency.Claim{Key: key, Fingerprint: fingerprint, Lease: cacheLease, Retention: retention})
	if err != nil || out.State != idempotency.Acquired {
		return err
	}
	return out.Execution.Complete(ctx, record)
}
