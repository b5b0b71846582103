package main

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
)

func inRedis(ctx context.Context, client *redis.Client) (oncemore.Option, error) {
	store, err := redisstore.New(ctx, client)
	if err != nil {
		return nil, err
	}
	return oncemore.WithStore(store), nil
}
