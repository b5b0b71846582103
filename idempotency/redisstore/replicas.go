package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ErrReplicas is returned when fewer replicas than [WithReplicas] asks for have
// acknowledged a claim or a record in time. It is written all the same.
var ErrReplicas = errors.New("redisstore: too few replicas have acknowledged")

// sendAndWait sends the command and WAIT to the key's primary. In a cluster it
// follows that one's word once, as go-redis does with single commands: a key
// has MOVED for good, or, while its slot migrates, it is to ASK another one.
func (s *Store) sendAndWait(ctx context.Context, key string, command redis.Cmder) (int, error) {
	primary, err := s.primary(ctx, key)
	if err != nil {
		return 0, err
	}
	acknowledged, err := s.waitAt(ctx, primary, command)
	address, before := redirected(ctx, err)
	if address == "" || s.cluster == nil {
		return acknowledged, err
	}
	s.cluster.ReloadState(ctx)
	if primary, err = s.primaryAt(ctx, address); err != nil {
		return 0, err
	}
	return s.waitAt(ctx, primary, command, before...)
}

// redirected returns where an error sends its command, if anywhere, and what
// must be said there first.
func redirected(ctx context.Context, err error) (address string, before []redis.Cmder) {
	if address, moved := redis.IsMovedError(err); moved {
		return address, nil
	}
	if address, ask := redis.IsAskError(err); ask {
		return address, []redis.Cmder{redis.NewStatusCmd(ctx, "asking")}
	}
	return "", nil
}

// waitAt sends the command and WAIT, which looks at its own connection's writes
// only, down one connection.
func (s *Store) waitAt(
	ctx context.Context, primary redis.UniversalClient, command redis.Cmder, before ...redis.Cmder,
) (int, error) {
	wait := redis.NewIntCmd(ctx, "wait", s.replicas, s.replicaTimeout.Milliseconds())
	pipeline := primary.Pipeline()
	for _, c := range append(before, once{command}, wait) {
		if err := pipeline.Process(ctx, c); err != nil {
			return 0, err
		}
	}
	_, err := pipeline.Exec(ctx)
	switch failed := command.Err(); {
	case failed != nil:
		return int(wait.Val()), failed
	case wait.Err() != nil:
		return 0, fmt.Errorf("%w: WAIT: %w", ErrReplicas, untypedError{wait.Err()})
	}
	return int(wait.Val()), err
}

// untypedError hides the type of an error of WAIT: that the server refused to
// wait says nothing of the write before.
type untypedError struct{ error }

// primary returns the client of the server that a key is on.
func (s *Store) primary(ctx context.Context, key string) (redis.UniversalClient, error) {
	if s.cluster == nil {
		return s.client, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

// primaryAt returns the client of a cluster's primary at an address.
func (s *Store) primaryAt(ctx context.Context, address string) (found redis.UniversalClient, err error) {
	var mu sync.Mutex
	err = s.cluster.ForEachMaster(ctx, func(_ context.Context, client *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		if client.Options().Addr == address {
			found = client
		}
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("a key has moved to %s, which the cluster does not list", address)
	}
	return found, err
}

// enough says that so many replicas are not.
func (s *Store) enough(acknowledged int) error {
	if acknowledged >= s.replicas {
		return nil
	}
	return fmt.Errorf("%w: %d of %d within %v", ErrReplicas, acknowledged, s.replicas, s.replicaTimeout)
}
