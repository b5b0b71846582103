package redisstore

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// counter counts the commands that a client is asked to send.
type counter struct{ commands atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// TestCommands counts what calls cost, as the client sees it and as the server
// does: 2 commands for a first call, 1 for a duplicate, 1 for a look.
func TestCommands(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	loadScripts(t, s)
	var count counter
	client.AddHook(&count)
	m := startMonitor(t, server)
	say := func(mark string) error { return client.Echo(context.Background(), mark).Err() }

	c := newTestClaim(t, newKey(t))
	var running idempotency.Execution
	var stop func()
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a first call", func() { complete(t, acquire(t, s, newTestClaim(t, newKey(t))), "record") }, []string{"set", "evalsha"}},
		{"a claim", func() { running = acquire(t, s, c) }, []string{"set"}},
		{"a renewal", func() {
			if err := running.Renew(t.Context()); err != nil {
				t.Error(err)
			}
		}, []string{"evalsha"}},
		{"a first look at what runs", func() { begin(t, s, newTestClaim(t, c.Key)) }, []string{"set", "evalsha"}},
		{"a watch", func() {
			_, end, err := s.Watch(t.Context(), c.Key)
			if err != nil {
				t.Error(err)
			}
			stop = end
		}, []string{"evalsha"}},
		{"a further look", func() { begin(t, s, newTestClaim(t, c.Key)) }, []string{"evalsha"}},
		{"the completion", func() { complete(t, running, "record") }, []string{"evalsha"}},
		{"what is seen after it", func() { begin(t, s, newTestClaim(t, c.Key)) }, []string{"evalsha"}},
		{"the end of a watch", func() { stop() }, nil},
		{"a duplicate", func() { begin(t, s, newTestClaim(t, c.Key)) }, []string{"set"}},
	} {
		before := count.commands.Load()
		step.do()
		sent := count.commands.Load() - before
		if got := m.commands(say); !slices.Equal(got, step.want) || sent != int64(len(step.want)) {
			t.Errorf("%s: the server got %v and the client sent %d, want %v", step.name, got, sent, step.want)
		}
	}
}
