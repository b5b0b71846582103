package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Store is an [idempotency.Store] and [idempotency.Watcher] in Redis. It is
// safe for concurrent use. It holds one connection beside the client's, for
// its subscription, until Close.
type Store struct {
	Options
	client    redis.UniversalClient
	cluster   *redis.ClusterClient // the client, if it is one
	owned     bool                 // the client is closed with the store
	retries   retries
	scripts   scripts
	watches   *watches
	clock     clock
	clockOnce sync.Once
}

var (
	_ idempotency.Store   = (*Store)(nil)
	_ idempotency.Watcher = (*Store)(nil)
)

// New returns a store on the server or cluster behind client, which must be a
// *redis.Client (for one server, or behind Sentinel) or a
// *redis.ClusterClient, with ContextTimeoutEnabled, and which the caller closes
// after the store. It must reach primaries of Redis 7 or later that do not
// evict keys; all of that is checked, within ctx. The error names the option
// that is wrong, or the server.
//
// The store repeats commands as often as the client's MaxRetries (of a cluster,
// MaxRedirects) says, where that may help.
func New(ctx context.Context, client redis.UniversalClient, options ...Option) (*Store, error) {
	s, err := newStore(ctx, client, options)
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	return s, nil
}

func newStore(ctx context.Context, client redis.UniversalClient, options []Option) (*Store, error) {
	s := &Store{Options: Options{prefix: "oncemore:"}, client: client, scripts: newScripts()}
	if err := s.apply(options); err != nil {
		return nil, err
	}
	if err := s.adopt(client); err != nil {
		return nil, err
	}
	if err := s.checkServers(ctx); err != nil {
		return nil, err
	}
	watches, err := subscribe(ctx, client, s.channel())
	if err != nil {
		return nil, err
	}
	s.watches = watches
	return s, nil
}

// adopt takes over the client's settings, and refuses what cannot work.
func (s *Store) adopt(client redis.UniversalClient) error {
	var honoursCtx bool
	var readTimeout time.Duration
	switch c := client.(type) {
	case *redis.Client:
		o := c.Options()
		s.retries = retries{o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff}
		honoursCtx, readTimeout = o.ContextTimeoutEnabled, o.ReadTimeout
	case *redis.ClusterClient:
		o := c.Options()
		s.cluster = c
		s.retries = retries{o.MaxRedirects, o.MinRetryBackoff, o.MaxRetryBackoff}
		honoursCtx, readTimeout = o.ContextTimeoutEnabled, o.ReadTimeout
	default:
		return fmt.Errorf("New(%T): must be given a *redis.Client or a *redis.ClusterClient", client)
	}
	if !honoursCtx {
		return errors.New("the client must have ContextTimeoutEnabled, " +
			"or a server that hangs holds calls beyond their deadlines")
	}
	if s.waits && readTimeout > 0 && s.replicaTimeout >= readTimeout {
		return fmt.Errorf("WithReplicas(%d, %v): must wait for less than the client's ReadTimeout of %v",
			s.replicas, s.replicaTimeout, readTimeout)
	}
	return nil
}

// ID implements [idempotency.Store]: a random value under the key "id" behind
// the prefix. It is asked for anew each time, because a server that has
// forgotten its records has forgotten it too.
func (s *Store) ID(ctx context.Context) (string, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("redisstore: random identity: %w", err)
	}
	id := hex.EncodeToString(random[:])
	name := s.prefix + "id"
	var set *redis.StringCmd
	_, err := s.send(ctx, name, func() redis.Cmder {
		set = redis.NewStringCmd(ctx, "set", name, id, "nx", "get")
		return set
	})
	if errors.Is(err, redis.Nil) {
		return id, nil
	}
	if isFull(err) { // it may have one all the same
		_, err = s.send(ctx, name, func() redis.Cmder {
			set = redis.NewStringCmd(ctx, "get", name)
			return set
		})
	}
	if err != nil {
		return "", fmt.Errorf("redisstore: identity under %q: %w", name, err)
	}
	return set.Val(), nil
}

// Watch implements [idempotency.Watcher] with one command, which marks the key
// so that the end of its execution is published; the end of one that nobody
// watches is not. What is absent when the watch begins, and is claimed through
// another Store afterwards, goes unreported.
func (s *Store) Watch(ctx context.Context, key idempotency.StoreKey) (wake <-chan struct{}, stop func(), err error) {
	wake, stop, err = s.watches.add(key)
	if err != nil {
		return nil, nil, err
	}
	if _, _, err := s.runScript(ctx, s.scripts.watch, []string{s.name(key)}); err != nil {
		stop()
		return nil, nil, fmt.Errorf("redisstore: watch %v: %w", key, err)
	}
	return wake, stop, nil
}

// Close ends the subscription, wakes who still watches, and closes the client
// if [Open] made it. It takes some seconds when the server hangs. Only the first
// call does anything.
func (s *Store) Close() error {
	err := s.watches.close()
	if s.owned {
		if closing := s.client.Close(); !errors.Is(closing, redis.ErrClosed) {
			err = errors.Join(err, closing)
		}
	}
	if err != nil {
		return fmt.Errorf("redisstore: close: %w", err)
	}
	return nil
}

// name is the key under which Redis has it.
func (s *Store) name(key idempotency.StoreKey) string { return s.prefix + key.String() }

// keys are the names of a key and of what is about it, in one slot of a cluster.
func (s *Store) keys(key idempotency.StoreKey) []string { return s.keysNamed(s.name(key)) }

func (s *Store) keysNamed(name string) []string {
	return []string{name, s.prefix + "about:{" + name + "}"}
}

func (s *Store) channel() string { return s.prefix + "ended" }
