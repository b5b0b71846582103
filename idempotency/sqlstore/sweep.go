package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// sweepBatch is how many rows one transaction of a sweep deletes.
const sweepBatch = 100

// sweepWait is how long a sweep waits for a row that a claim holds.
const sweepWait = 100 * time.Millisecond

// Sweep deletes the rows that have expired, and returns their number. It goes
// by primary key, in small batches, each a transaction of its own, and yields
// to claims that hold a row: such a row is left for the next sweep. The store
// sweeps by itself, see [WithSweepInterval]. Instances may sweep at once.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	total := 0
	for {
		keys, err := s.expiredKeys(ctx)
		if err != nil || len(keys) == 0 {
			return total, err
		}
		n, err := s.sweepKeys(ctx, keys)
		total += n
		yielded := classify(err) == contended || classify(err) == conflict
		if err != nil && !yielded {
			return total, fmt.Errorf("sqlstore: sweep: %w", err)
		}
		if yielded || len(keys) < sweepBatch {
			return total, nil
		}
	}
}

func (s *Store) expiredKeys(ctx context.Context) (keys [][]byte, err error) {
	rows, err := s.db.QueryContext(ctx, s.statements.expired.text)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: sweep: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("sqlstore: sweep: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// sweepKeys deletes what is still expired of the keys. It looks each one up by
// itself: a range would lock what lies between.
func (s *Store) sweepKeys(ctx context.Context, keys [][]byte) (n int, err error) {
	ss, err := s.openSession(ctx, beginning{
		lock: s.lockName(idempotency.StoreKey{}), wait: sweepWait, timeout: time.Minute,
	})
	if err != nil {
		return 0, err
	}
	if n, err = s.deleteExpired(ctx, ss, keys); err != nil {
		ss.rollback(ctx)
		return 0, err
	}
	return n, ss.commit(ctx)
}

func (s *Store) deleteExpired(ctx context.Context, ss *session, keys [][]byte) (n int, err error) {
	if err := s.dialect.yield(ctx, ss); err != nil {
		return 0, err
	}
	for _, key := range keys {
		deleted, err := s.tableIn(ss).exec(ctx, &s.statements.sweep, key)
		if err != nil {
			return 0, err
		}
		if deleted {
			n++
		}
	}
	return n, nil
}

// sweeper sweeps until ctx ends.
func (s *Store) sweeper(ctx context.Context) {
	for {
		pause := s.sweepInterval/2 + rand.N(s.sweepInterval+1)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "sqlstore: sweep", slog.Any("error", err))
		}
	}
}
