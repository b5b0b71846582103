package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// minVersion is the first major version in which SET takes NX and GET together.
const minVersion = 7

// checkServers looks whether every server can be a store; it is also the ping
// that finds a server that is not there.
func (s *Store) checkServers(ctx context.Context) error {
	if s.cluster != nil {
		return s.cluster.ForEachMaster(ctx, s.checkServer)
	}
	client, _ := s.client.(*redis.Client)
	return s.checkServer(ctx, client)
}

func (s *Store) checkServer(ctx context.Context, client *redis.Client) error {
	command := redis.NewStringCmd(ctx, "info")
	err := client.Process(ctx, once{command})
	if err == nil {
		answer := parseInfo(command.Val())
		err = answer.check(s.cluster != nil, s.eviction)
		s.setClock(newClock(answer))
	}
	if err != nil {
		return fmt.Errorf("server %s: %w", client.Options().Addr, err)
	}
	return nil
}

// setClock keeps the clock of one server, of several that are asked at once.
func (s *Store) setClock(c clock) {
	s.clockOnce.Do(func() { s.clock = c })
}

// info is the part of a server's answer to INFO that matters here.
type info map[string]string

func parseInfo(text string) info {
	fields := make(info)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// check says why the server cannot be a store.
func (i info) check(cluster, eviction bool) error {
	version := i["redis_version"]
	major, _, _ := strings.Cut(version, ".")
	switch number, err := strconv.Atoi(major); {
	case err != nil:
		return fmt.Errorf("its version is not known: %q", version)
	case number < minVersion:
		return fmt.Errorf("it is version %s: must be %d or later", version, minVersion)
	}
	switch policy := i["maxmemory_policy"]; {
	case i["redis_mode"] == "cluster" && !cluster:
		return errors.New("it is a node of a Redis Cluster: use a cluster client, or give addr in the URL")
	case i["role"] == "slave":
		return errors.New("it is a replica: use the primary")
	case policy != "noeviction" && i["maxmemory"] != "0" && !eviction:
		return fmt.Errorf("it evicts keys when its memory is full (maxmemory-policy %s), "+
			"and what is evicted runs again: set noeviction, or accept it by WithEviction", policy)
	}
	return nil
}
