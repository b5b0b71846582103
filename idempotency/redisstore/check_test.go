package redisstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestServerCheck(t *testing.T) {
	const good = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"
	full := strings.Replace(good, "maxmemory:0", "maxmemory:1000", 1)
	for name, test := range map[string]struct {
		info              string
		cluster, eviction bool
		want              string
	}{
		"good":                     {good, false, false, ""},
		"newer":                    {strings.Replace(good, "7.0.15", "10.1", 1), false, false, ""},
		"older":                    {strings.Replace(good, "7.0.15", "6.2.7", 1), false, false, "6.2.7: must be 7 or later"},
		"no version":               {"# Server\r\n", false, false, "version is not known"},
		"evicts":                   {full, false, false, "maxmemory-policy allkeys-lru"},
		"evicts, accepted":         {full, false, true, ""},
		"bounded, does not evict":  {strings.Replace(full, "allkeys-lru", "noeviction", 1), false, false, ""},
		"replica":                  {strings.Replace(good, "master", "slave", 1), false, false, "use the primary"},
		"cluster, bare client":     {strings.Replace(good, "standalone", "cluster", 1), false, false, "use a cluster client"},
		"cluster, cluster client":  {strings.Replace(good, "standalone", "cluster", 1), true, false, ""},
		"cluster client, one node": {good, true, false, ""},
	} {
		err := parseInfo(test.info).check(test.cluster, test.eviction)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	server := servertest.StartRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
	client := dial(t, server)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": server.Address()}})
	defer func() {
		if err := ring.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, test := range map[string]struct {
		client  redis.UniversalClient
		options []Option
		want    string
	}{
		"nil client":      {nil, nil, "New(<nil>): must be given"},
		"ring":            {ring, nil, "New(*redis.Ring): must be given"},
		"no ctx timeout":  {dialWith(t, server, func(o *redis.Options) { o.ContextTimeoutEnabled = false }), nil, "ContextTimeoutEnabled"},
		"nil option":      {client, []Option{nil}, "option 0 is nil"},
		"hash tag":        {client, []Option{WithPrefix("{a}:")}, `WithPrefix("{a}:"): must be 1 to 128 bytes without braces`},
		"long prefix":     {client, []Option{WithPrefix(strings.Repeat("a", 129))}, "1 to 128 bytes"},
		"no prefix":       {client, []Option{WithPrefix("")}, `WithPrefix(""): must be 1 to 128 bytes`},
		"no replica":      {client, []Option{WithReplicas(0, time.Second)}, "WithReplicas(0, 1s): must wait for at least 1"},
		"no time":         {client, []Option{WithReplicas(1, 0)}, "WithReplicas(1, 0s): must wait for at least 1ms"},
		"too much time":   {client, []Option{WithReplicas(1, time.Hour)}, "less than the client's ReadTimeout of 5s"},
		"evicting server": {client, nil, "maxmemory-policy volatile-ttl"},
		"channel refused": {dialWith(t, server, func(o *redis.Options) { o.Username, o.Password = "mute", "x" }), []Option{WithEviction()}, `subscribe to channel "oncemore:ended"`},
	} {
		if name == "channel refused" {
			if err := client.Do(t.Context(), "ACL", "SETUSER", "mute", "on", ">x", "allcommands", "allkeys", "resetchannels").Err(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(context.Background(), test.client, test.options...)
		if err == nil {
			t.Errorf("%s: no error (close: %v)", name, s.Close())
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	newTestStore(t, client, WithEviction())
}
