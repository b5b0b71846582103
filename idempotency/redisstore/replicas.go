package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// ErrReplicas is returned when fewer replicas than [WithReplicas] asks for have
// acknowledged a claim or a record in time. It is written all the same.
var ErrReplicas = errors.New("redisstore: too few replicas have acknowledged")

// sendAndWait sends the command and WAIT, which looks at its own connection's
// writes only, down one connection to the key's primary.
func (s *Store) sendAndWait(ctx context.Context, key string, command redis.Cmder) (int, error) {
	primary, err := s.primary(ctx, key)
	if err != nil {
		return 0, err
	}
	wait := redis.NewIntCmd(ctx, "wait", s.replicas, s.replicaTimeout.Milliseconds())
	pipeline := primary.Pipeline()
	for _, c := range []redis.Cmder{once{command}, wait} {
		if err := pipeline.Process(ctx, c); err != nil {
			return 0, err
		}
	}
	_, err = pipeline.Exec(ctx)
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

// enough says that so many replicas are not.
func (s *Store) enough(acknowledged int) error {
	if acknowledged >= s.replicas {
		return nil
	}
	return fmt.Errorf("%w: %d of %d within %v", ErrReplicas, acknowledged, s.replicas, s.replicaTimeout)
}
