package sqlstore

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// cacheTimeout bounds each use of the cache: a call that waited longer for one
// that hangs would have no time left for the database.
const cacheTimeout = 100 * time.Millisecond

// Cache answers replays before the database does, see [WithCache]. It may
// forget at any time, must not keep a record beyond its retention, and is safe
// for concurrent use. A failing cache fails no call. Each method has 100 ms,
// and must return when its ctx ends.
//
// One cache may serve several stores: the keys that it is given are hashes of
// the record's key and the identity of the store's tables, so that a record is
// found by none but the stores on those tables.
type Cache interface {
	// GetRecord returns what PutRecord kept; found is false if there is nothing.
	// The record must not be changed by anyone.
	GetRecord(ctx context.Context, key idempotency.StoreKey) (
		record []byte, fingerprint idempotency.Fingerprint, found bool, err error)
	// PutRecord keeps a record, for the retention at most.
	PutRecord(ctx context.Context, key idempotency.StoreKey,
		record []byte, fingerprint idempotency.Fingerprint, retention time.Duration) error
	// ForgetRecord forgets what PutRecord kept, if anything, because an operator
	// has resolved the key anew.
	ForgetRecord(ctx context.Context, key idempotency.StoreKey) error
}

// cacheKey is what the cache knows a key by.
func (s *Store) cacheKey(key idempotency.StoreKey) idempotency.StoreKey {
	var both [2 * sha256.Size]byte
	copy(both[:], s.place[:])
	copy(both[sha256.Size:], key[:])
	return sha256.Sum256(both[:])
}

// cached returns the record of a key that the cache knows.
func (s *Store) cached(ctx context.Context, key idempotency.StoreKey) (idempotency.Outcome, bool) {
	if s.cache == nil {
		return idempotency.Outcome{}, false
	}
	bounded, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	record, fingerprint, found, err := s.cache.GetRecord(bounded, s.cacheKey(key))
	if err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "sqlstore: read the cache", slog.Any("error", err))
		return idempotency.Outcome{}, false
	}
	return idempotency.Outcome{State: idempotency.Done, Record: record, Fingerprint: fingerprint}, found
}

// remember puts a record into the cache that is in the database.
func (s *Store) remember(
	ctx context.Context, key idempotency.StoreKey,
	record []byte, fingerprint idempotency.Fingerprint, retention time.Duration,
) {
	if s.cache == nil || retention <= 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	if err := s.cache.PutRecord(bounded, s.cacheKey(key), record, fingerprint, retention); err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "sqlstore: fill the cache", slog.Any("error", err))
	}
}

// forgetCached takes a key out of the cache.
func (s *Store) forgetCached(ctx context.Context, key idempotency.StoreKey) {
	if s.cache == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	if err := s.cache.ForgetRecord(bounded, s.cacheKey(key)); err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "sqlstore: have the cache forget a key: it may repeat what was resolved",
			slog.Any("error", err))
	}
}

// replayed returns the outcome that was read out of r, and fills the cache if
// it is a record.
func (s *Store) replayed(
	ctx context.Context, key idempotency.StoreKey, out idempotency.Outcome, r *row,
) idempotency.Outcome {
	if out.State == idempotency.Done {
		s.remember(ctx, key, out.Record, out.Fingerprint, r.left())
	}
	return out
}
