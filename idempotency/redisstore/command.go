package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// once is a command that go-redis sends at most once. By itself it repeats
// commands and returns the last error, which may be a refused connection after
// a first attempt that was applied: that would prove nothing.
type once struct{ redis.Cmder }

// NoRetry is asked by go-redis.
func (once) NoRetry() bool { return true }

// send runs one command on a key, as often as the client's settings allow: all
// commands here are safe to apply twice. It returns how many replicas have
// acknowledged the write, if the store waits for them. An error is
// ErrNotApplied if every attempt is known to have changed nothing.
func (s *Store) send(ctx context.Context, key string, newCommand func() redis.Cmder) (acknowledged int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, idempotency.NotApplied(err)
	}
	applied := false // perhaps
	for attempt := 0; ; attempt++ {
		acknowledged, err = s.sendOnce(ctx, key, newCommand())
		if err == nil || errors.Is(err, redis.Nil) {
			return acknowledged, err
		}
		applied = applied || !changedNothing(err)
		s.reroute(ctx, err)
		if attempt >= s.retries.max || !transient(err) || !s.retries.pause(ctx, attempt) {
			break
		}
	}
	if applied {
		return 0, err
	}
	return 0, idempotency.NotApplied(err)
}

func (s *Store) sendOnce(ctx context.Context, key string, command redis.Cmder) (acknowledged int, err error) {
	if s.replicas > 0 {
		return s.sendAndWait(ctx, key, command)
	}
	return 0, s.client.Process(ctx, once{command})
}

// runScript runs a script on keys of one slot by its hash, or by its source where
// the server does not know it.
func (s *Store) runScript(ctx context.Context, script script, keys []string, args ...any) (*redis.Cmd, int, error) {
	var command *redis.Cmd
	run := func(name, body string) (int, error) {
		return s.send(ctx, keys[0], func() redis.Cmder {
			if command != nil && redis.IsTryAgainError(command.Err()) {
				keys = keys[:1] // a slot that migrates has one key here and the other there
			}
			words := make([]any, 0, 3+len(keys)+len(args))
			words = append(words, name, body, len(keys))
			for _, key := range keys {
				words = append(words, key)
			}
			command = redis.NewCmd(ctx, append(words, args...)...)
			return command
		})
	}
	acknowledged, err := run("evalsha", script.hash)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		acknowledged, err = run("eval", script.source)
	}
	return command, acknowledged, err
}

// reroute makes a cluster client look for the primaries again after an error
// that may come of a failover; with commands sent once it does not by itself.
func (s *Store) reroute(ctx context.Context, err error) {
	if s.cluster == nil {
		return
	}
	if _, answered := errors.AsType[redis.Error](err); !answered || transient(err) {
		s.cluster.ReloadState(ctx)
	}
}

// changedNothing reports whether one attempt's error proves that the command
// was not applied: the server answered with an error, or was never reached.
func changedNothing(err error) bool {
	if _, answered := errors.AsType[redis.Error](err); answered {
		return true
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok && broken.Op == "dial" {
		return true
	}
	return errors.Is(err, redis.ErrClosed) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// isFull reports whether the server refuses to take anything more.
func isFull(err error) bool { return err != nil && redis.HasErrorPrefix(err, "OOM") }

// transient reports whether the command may succeed at once if it is sent
// again: the connection was broken, or a failover or migration is under way.
// A timeout is not, since time is up; nor is a refused connection, since
// go-redis has dialled several times already.
func transient(err error) bool {
	if answer, ok := errors.AsType[redis.Error](err); ok {
		_, moved := redis.IsMovedError(answer)
		return moved || redis.IsReadOnlyError(answer) || redis.IsClusterDownError(answer) ||
			redis.IsTryAgainError(answer) || redis.IsLoadingError(answer) || redis.IsMasterDownError(answer)
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// retries are the client's own settings.
type retries struct {
	max                    int
	minBackoff, maxBackoff time.Duration
}

// pause waits before the retry that follows an attempt, 0 for the first, and
// reports whether ctx leaves time for it.
func (r retries) pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(min(r.minBackoff<<min(attempt, 10), r.maxBackoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
