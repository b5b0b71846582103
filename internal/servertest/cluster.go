//go:build linux

package servertest

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/internal/proctest"
)

// RedisCluster is a Redis Cluster of three primaries with one replica each.
type RedisCluster struct {
	nodes []*Server
}

// StartRedisCluster starts six Redis servers, joins them into a cluster and
// returns when each has a place in it and every replica is in step with its
// primary. A replica takes over about a second after its primary was lost.
// Arguments are given to every redis-server.
func StartRedisCluster(tb testing.TB, args ...string) *RedisCluster {
	tb.Helper()
	c := &RedisCluster{}
	create := []string{"--cluster", "create"}
	for range 6 {
		node := StartRedis(tb, slices.Concat([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0",
			"--cluster-port", strconv.Itoa(proctest.ReservePort(tb)),
		}, args)...)
		c.nodes = append(c.nodes, node)
		create = append(create, node.Address())
	}
	create = append(create, "--cluster-replicas", "1", "--cluster-yes")
	run(tb, exec.Command(program(tb, "redis-cli"), create...))
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	if err := c.awaitWhole(ctx); err != nil {
		tb.Fatalf("servertest: Redis Cluster: %v", err)
	}
	return c
}

// Nodes returns the six servers; which of them are primaries changes.
func (c *RedisCluster) Nodes() []*Server { return slices.Clone(c.nodes) }

// Addresses returns the host:port of each server.
func (c *RedisCluster) Addresses() []string {
	addresses := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		addresses[i] = node.Address()
	}
	return addresses
}

// Primary returns the server that serves a key, according to the first one
// that answers. It is an error if none does.
func (c *RedisCluster) Primary(ctx context.Context, key string) (*Server, error) {
	err := fmt.Errorf("servertest: no primary serves %q", key)
	for _, node := range c.nodes {
		owner, asked := c.owner(ctx, node, key)
		if asked == nil {
			return owner, nil
		}
		err = asked
	}
	return nil, err
}

// owner asks one node who serves a key, in the words every client goes by: a
// node that does not serve it says where the key has moved.
func (c *RedisCluster) owner(ctx context.Context, node *Server, key string) (*Server, error) {
	_, err := redisCommand(ctx, node.Address(), "STRLEN", key)
	if err == nil {
		return node, nil
	}
	_, moved, ok := strings.Cut(err.Error(), "MOVED ")
	fields := strings.Fields(moved)
	if !ok || len(fields) < 2 {
		return nil, err
	}
	for _, other := range c.nodes {
		if other.Address() == fields[1] {
			return other, nil
		}
	}
	return nil, fmt.Errorf("servertest: %q is served by a stranger, %s", key, fields[1])
}

// awaitWhole waits until every node sees all slots served and three replicas
// follow their primaries.
func (c *RedisCluster) awaitWhole(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.whole(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (c *RedisCluster) whole(ctx context.Context) error {
	inStep := 0
	for _, node := range c.nodes {
		info, err := redisCommand(ctx, node.Address(), "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:6") {
			return fmt.Errorf("%s does not see the whole cluster:\n%s", node.Address(), info)
		}
		replication, err := redisCommand(ctx, node.Address(), "INFO", "replication")
		if err != nil {
			return err
		}
		if strings.Contains(replication, "master_link_status:up") {
			inStep++
		}
	}
	if inStep != 3 {
		return fmt.Errorf("%d replicas in step, want 3", inStep)
	}
	return nil
}
