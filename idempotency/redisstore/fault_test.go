package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/internal/servertest"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
)

func TestEvidence(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, test := range map[string]struct {
		err                error
		nothing, transient bool
	}{
		"refused":           {fmt.Errorf("wrapped: %w", refused), true, false},
		"end of connection": {io.EOF, false, true},
		"reset":             {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false, true},
		"broken pipe":       {&net.OpError{Op: "write", Err: syscall.EPIPE}, false, true},
		"deadline":          {context.DeadlineExceeded, false, false},
		"read timeout":      {&net.OpError{Op: "read", Err: context.DeadlineExceeded}, false, false},
		"client closed":     {redis.ErrClosed, true, false},
		"pool exhausted":    {redis.ErrPoolTimeout, true, false},
		"unknown":           {errors.New("what?"), false, false},
		"too few replicas":  {fmt.Errorf("%w: %w", ErrReplicas, untypedError{redis.ErrCrossSlot}), false, false},
		"crossed slots":     {redis.ErrCrossSlot, true, false},
	} {
		if nothing, again := changedNothing(test.err), transient(test.err); nothing != test.nothing || again != test.transient {
			t.Errorf("%s: changed nothing %v, transient %v; want %v, %v", name, nothing, again, test.nothing, test.transient)
		}
	}
}

// TestAnswersOfTheServer makes a server refuse in its own words.
func TestAnswersOfTheServer(t *testing.T) {
	server := servertest.StartRedis(t)
	client := dial(t, server)
	s := newTestStore(t, client)
	e := acquire(t, s, newTestClaim(t, newKey(t)))
	set := func(name, value string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(name string) {
		t.Helper()
		_, err := s.Begin(t.Context(), newTestClaim(t, newKey(t)))
		if !errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("%s: begin: %v, want it not applied", name, err)
		}
		if err := e.Complete(t.Context(), []byte("record")); !errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("%s: complete: %v, want it not applied", name, err)
		}
	}
	set("min-replicas-to-write", "1")
	refuses("too few replicas")
	set("min-replicas-to-write", "0")
	nowhere := servertest.StartRedis(t)
	nowhere.Stop()
	host, port, err := net.SplitHostPort(nowhere.Address())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	refuses("replica")
	if err := client.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	complete(t, e, "record")
}

// TestLostAnswer loses the answer to each operation, which the store then
// sends again: the outcome is as if nothing had been lost.
func TestLostAnswer(t *testing.T) {
	server := servertest.StartRedis(t)
	direct := openURL(t, server.URL())
	p := tcpproxy.Start(t, server.Address())
	s := openURL(t, "redis://"+p.Address())
	loadScripts(t, direct)
	var losses []*tcpproxy.Catch
	lose := func(word string) {
		t.Helper()
		for _, earlier := range losses {
			earlier.WaitLost(t)
		}
		answer := p.Catch(word)
		answer.LoseReply()
		losses = append(losses, answer)
	}
	c := newTestClaim(t, newKey(t))
	lose(c.Key.String())
	out := begin(t, s, c)
	if out.State != idempotency.Acquired || out.Fence != 1 || out.TakenOver {
		t.Fatalf("outcome = %+v, want a first claim", out)
	}
	lose(c.Key.String())
	if err := out.Execution.Renew(t.Context()); err != nil {
		t.Error(err)
	}
	lose(c.Key.String())
	complete(t, out.Execution, "record")
	lose(c.Key.String())
	if out := begin(t, s, newTestClaim(t, c.Key)); out.State != idempotency.Done || string(out.Record) != "record" {
		t.Errorf("outcome = %+v, want the record", out)
	}

	orphan := newTestClaim(t, newKey(t))
	orphan.Lease = time.Millisecond
	acquire(t, direct, orphan)
	time.Sleep(5 * time.Millisecond)
	if out := begin(t, direct, newTestClaim(t, orphan.Key)); out.State != idempotency.Orphaned {
		t.Fatalf("state = %v, want orphaned", out.State)
	}
	taker := newTestClaim(t, orphan.Key)
	taker.Takeover = true
	lose("evalsha")
	taken := begin(t, s, taker)
	if taken.State != idempotency.Acquired || !taken.TakenOver || taken.Fence != 2 {
		t.Errorf("outcome = %+v, want taken over with fence 2", taken)
	}
	lose(taker.Key.String())
	if err := taken.Execution.Release(t.Context()); err != nil {
		t.Error(err)
	}
	for _, answer := range losses {
		answer.WaitLost(t)
	}
	if out := begin(t, direct, newTestClaim(t, taker.Key)); out.State != idempotency.Acquired {
		t.Errorf("state = %v after the release, want acquired", out.State)
	}
}

// TestLostAnswerAndThenRefused: the last attempt proves nothing of the first.
func TestLostAnswerAndThenRefused(t *testing.T) {
	server := servertest.StartRedis(t)
	direct := openURL(t, server.URL())
	p := tcpproxy.Start(t, server.Address())
	s := openURL(t, "redis://"+p.Address())
	c := newTestClaim(t, newKey(t))
	answer := p.Catch(c.Key.String())
	begun := make(chan error, 1)
	go func() {
		_, err := s.Begin(t.Context(), c)
		begun <- err
	}()
	answer.Wait(t)
	p.Refuse()
	answer.LoseReply()
	err := <-begun
	if !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("begin = %v, want it refused at last, and in doubt", err)
	}
	if out := begin(t, direct, newTestClaim(t, c.Key)); out.State != idempotency.Running {
		t.Errorf("state = %v, want running", out.State)
	}
}

func TestRefused(t *testing.T) {
	server := servertest.StartRedis(t)
	s := openURL(t, server.URL())
	e := acquire(t, s, newTestClaim(t, newKey(t)))
	server.Kill()
	for name, do := range map[string]func() error{
		"begin": func() error {
			_, err := s.Begin(t.Context(), newTestClaim(t, newKey(t)))
			return err
		},
		"renew":    func() error { return e.Renew(t.Context()) },
		"complete": func() error { return e.Complete(t.Context(), []byte("record")) },
		"release":  func() error { return e.Release(t.Context()) },
		"identity": func() error {
			_, err := s.ID(t.Context())
			return err
		},
		"watch": func() error {
			_, _, err := s.Watch(t.Context(), newKey(t))
			return err
		},
	} {
		err := do()
		for range 100 { // connections of before may break first
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			err = do()
		}
		if err = do(); !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, idempotency.ErrNotApplied) {
			t.Errorf("%s = %v, want it refused and not applied", name, err)
		}
	}
	server.Restart()
	acquire(t, s, newTestClaim(t, newKey(t)))
}

// TestFrozen: a server that hangs holds nobody beyond the deadline, and what
// it was asked may yet be done.
func TestFrozen(t *testing.T) {
	server := servertest.StartRedis(t)
	s := openURL(t, server.URL())
	acquire(t, s, newTestClaim(t, newKey(t)))
	closing, err := Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	c := newTestClaim(t, newKey(t))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = s.Begin(ctx, c)
	if took := time.Since(start); err == nil || errors.Is(err, idempotency.ErrNotApplied) || took > 3*time.Second {
		t.Errorf("begin = %v after %v, want an error in doubt after 300ms", err, took)
	}
	if err := closing.Close(); err != nil {
		t.Errorf("close while the server hangs: %v", err)
	}
	server.Thaw()
	if out := begin(t, s, c); out.State != idempotency.Acquired || out.Fence != 1 {
		t.Errorf("outcome = %+v, want it acquired, for the first or second time", out)
	}
}
