package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// GetRecord returns the record of a key that is done, with one command, which
// makes the store a front for one that is slower, such as sqlstore.WithCache
// takes.
func (s *Store) GetRecord(ctx context.Context, key idempotency.StoreKey) (
	record []byte, fingerprint idempotency.Fingerprint, found bool, err error,
) {
	var get *redis.StringCmd
	name := s.name(key)
	_, err = s.send(ctx, name, func() redis.Cmder {
		get = redis.NewStringCmd(ctx, "get", name)
		return get
	})
	if errors.Is(err, redis.Nil) {
		return nil, fingerprint, false, nil
	}
	if err != nil {
		return nil, fingerprint, false, fmt.Errorf("redisstore: read the record of %v: %w", key, err)
	}
	v, err := parseValue(get.Val())
	if err != nil {
		return nil, fingerprint, false, fmt.Errorf("redisstore: read the record of %v: %w", key, err)
	}
	if v.state() != stateDone {
		return nil, fingerprint, false, nil
	}
	return v.record(), v.fingerprint(), true, nil
}

// ForgetRecord forgets the record of a key, with one command.
func (s *Store) ForgetRecord(ctx context.Context, key idempotency.StoreKey) error {
	name := s.name(key)
	_, err := s.send(ctx, name, func() redis.Cmder { return redis.NewIntCmd(ctx, "del", name) })
	if err != nil {
		return fmt.Errorf("redisstore: forget the record of %v: %w", key, err)
	}
	return nil
}

// PutRecord keeps a record for the retention, if the key is absent, with one
// command.
func (s *Store) PutRecord(
	ctx context.Context, key idempotency.StoreKey,
	record []byte, fingerprint idempotency.Fingerprint, retention time.Duration,
) error {
	v := newClaim(&idempotency.Claim{Key: key, Fingerprint: fingerprint, Retention: retention}, len(record))
	v[stateAt] = stateDone
	v = append(v, record...)
	name := s.name(key)
	_, err := s.send(ctx, name, func() redis.Cmder {
		return redis.NewStatusCmd(ctx, "set", name, []byte(v), "nx", "px", milliseconds(retention))
	})
	if err != nil && !errors.Is(err, redis.Nil) { // nil: somebody else has put it
		return fmt.Errorf("redisstore: keep the record of %v: %w", key, err)
	}
	return nil
}
