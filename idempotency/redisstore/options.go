package redisstore

import (
	"fmt"
	"strings"
	"time"
)

// Options are the settings of a [Store], made by the functions of type
// [Option].
type Options struct {
	prefix         string
	replicas       int
	replicaTimeout time.Duration
	waits          bool
	eviction       bool
}

// Option changes one setting of a [Store].
type Option func(*Options)

// WithPrefix sets what the names of all keys begin with, and of the channel.
// Stores with different prefixes share nothing. Default "oncemore:"; 1 to
// 128 bytes without braces, which would put every key of a Redis Cluster into
// one slot.
func WithPrefix(prefix string) Option { return func(o *Options) { o.prefix = prefix } }

// WithReplicas makes a claim and a completion wait, for up to timeout, until n
// replicas have acknowledged it ([WAIT]). Fewer are an [ErrReplicas]: a claim
// that a failover could lose is then not executed. It narrows the window, and
// does not close it: a replica that has not acknowledged may still be the one
// that is promoted. While fewer than n replicas are connected, nothing is
// executed. timeout counts in milliseconds and must be less than the
// client's ReadTimeout. Default: no waiting.
//
// [WAIT]: https://redis.io/docs/latest/commands/wait/
func WithReplicas(n int, timeout time.Duration) Option {
	return func(o *Options) { o.replicas, o.replicaTimeout, o.waits = n, timeout, true }
}

// WithEviction accepts a server that evicts keys when its memory is full, which
// is otherwise an error of the constructor: a claim or record that is evicted
// is forgotten, and its call runs again.
func WithEviction() Option { return func(o *Options) { o.eviction = true } }

func (o *Options) apply(options []Option) error {
	for i, option := range options {
		if option == nil {
			return fmt.Errorf("option %d is nil: leave it out instead", i)
		}
		option(o)
	}
	switch {
	case o.prefix == "" || len(o.prefix) > 128 || strings.ContainsAny(o.prefix, "{}"):
		return fmt.Errorf("WithPrefix(%q): must be 1 to 128 bytes without braces", o.prefix)
	case o.waits && o.replicas < 1:
		return fmt.Errorf("WithReplicas(%d, %v): must wait for at least 1", o.replicas, o.replicaTimeout)
	case o.waits && o.replicaTimeout < time.Millisecond:
		return fmt.Errorf("WithReplicas(%d, %v): must wait for at least 1ms", o.replicas, o.replicaTimeout)
	}
	return nil
}
