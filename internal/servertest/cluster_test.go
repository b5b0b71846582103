//go:build linux

package servertest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestRedisClusterFailsOver(t *testing.T) {
	c := servertest.StartRedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: c.Addresses(),
		// A refused dial alone does not make the client look for a new primary.
		ClusterStateReloadInterval: 100 * time.Millisecond,
	})
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	write := func() error {
		// With one replica's word that it has it, so that it is not lost.
		return client.Watch(ctx, func(tx *redis.Tx) error {
			if err := tx.Set(ctx, "word", "kept", 0).Err(); err != nil {
				return err
			}
			replicas, err := tx.Wait(ctx, 1, 10*time.Second).Result()
			if err == nil && replicas != 1 {
				err = errors.New("no replica has it")
			}
			return err
		}, "word")
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	lost, err := c.Primary(ctx, "word")
	if err != nil {
		t.Fatal(err)
	}
	lost.Kill()
	var word string
	for word, err = client.Get(ctx, "word").Result(); err != nil && ctx.Err() == nil; {
		word, err = client.Get(ctx, "word").Result()
	}
	if err != nil || word != "kept" {
		t.Fatalf("read = %q, %v after the primary was lost, want kept", word, err)
	}
	now, err := c.Primary(ctx, "word")
	if err != nil || now == lost {
		t.Errorf("primary = %v, %v, want another one than before", now, err)
	}
}
