package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/tcpproxy"
)

// commitPacket is how a COMMIT looks on the wire.
func (b *backend) commitPacket() string {
	return map[Dialect]string{MySQL: "\x03COMMIT", PostgreSQL: "commit\x00"}[b.dialect]
}

func (p *place) behindProxy(t *testing.T) (*tcpproxy.Proxy, *place) {
	t.Helper()
	proxy := tcpproxy.Start(t, p.server.Address())
	return proxy, p.through(t, proxy.Address())
}

// testLostCommit cuts the connection right at the COMMIT.
func testLostCommit(t *testing.T, b *backend) {
	t.Helper()
	for name, c := range map[string]struct {
		cut       func(*tcpproxy.Catch)
		committed bool
	}{
		"reply lost": {(*tcpproxy.Catch).LoseReply, true},
		"never sent": {(*tcpproxy.Catch).Drop, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.newPlace(t)
			proxy, near := p.behindProxy(t)
			i := near.instance(t, 4)
			commit := proxy.Catch(b.commitPacket())
			var runs atomic.Int32
			work := func(ctx context.Context) error {
				runs.Add(1)
				return write(ctx, i.db, "business")
			}
			var reply string
			var err error
			var group sync.WaitGroup
			group.Go(func() { reply, err = i.call(t.Context(), "key", 0, work) })
			commit.Wait(t)
			c.cut(commit)
			group.Wait()
			if c.committed && (err != nil || reply != "key was executed") {
				t.Errorf("reply %q, %v", reply, err)
			}
			if !c.committed && !errors.Is(err, idempotency.ErrRolledBack) {
				t.Errorf("error %v, want ErrRolledBack", err)
			}
			reply, err = p.instance(t, 4).call(t.Context(), "key", 0, work)
			if err != nil || reply != "key was executed" {
				t.Errorf("afterwards: reply %q, %v", reply, err)
			}
			wantWrites(t, i.db, "business", 1)
			if want := map[bool]int32{true: 1, false: 2}[c.committed]; runs.Load() != want {
				t.Errorf("%d executions, want %d", runs.Load(), want)
			}
		})
	}
}

// testBeginDoesNotOvertakeACommit holds a COMMIT back that the client has given
// up: until it is decided, nobody else gets the key.
func testBeginDoesNotOvertakeACommit(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	proxy, near := p.behindProxy(t)
	s, other := near.store(t), p.store(t)
	out := acquire(t, s, claimFor(t, "key"))
	must(t, write(out.Execution.Context(t.Context()), s.db, "business"))
	commit := proxy.Catch(b.commitPacket())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- out.Execution.Complete(ctx, []byte("record")) }()
	commit.Wait(t)
	cancel()
	if err := <-result; err == nil || errors.Is(err, idempotency.ErrNotApplied) || errors.Is(err, idempotency.ErrLost) {
		t.Errorf("complete: %v, want an unknown outcome", err)
	}
	hasty := claimFor(t, "key")
	hasty.Wait = 50 * time.Millisecond
	wantState(t, other, hasty, idempotency.Running)
	commit.Pass() // late, from a client that is gone
	wantState(t, other, claimFor(t, "key"), idempotency.Done)
	wantWrites(t, other.db, "business", 1)
}

// testCancelAtEveryStep cancels the context while the n-th message to the
// server is held back, for every n, and then either loses the message or has
// it arrive late. Begin and Complete must return at once, and what they said
// must be so.
func testCancelAtEveryStep(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	for _, late := range []bool{false, true} {
		steps := 0
		for ended := false; !ended; {
			steps++
			t.Run(fmt.Sprintf("late=%v/%d", late, steps), func(t *testing.T) { ended = p.cancelAt(t, steps, late) })
		}
		if steps < 6 { // look, begin, claim, write, complete, commit
			t.Errorf("there were only %d messages", steps)
		}
	}
}

// cancelAt returns true when there are fewer than n messages.
func (p *place) cancelAt(t *testing.T, n int, late bool) (ended bool) {
	proxy, near := p.behindProxy(t)
	s, watch := near.store(t, WithSweepInterval(0)), p.store(t)
	name := fmt.Sprintf("late-%v-%d", late, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	finished := make(chan error, 1)
	held := proxy.Catch("")
	go func() { finished <- executeOnce(ctx, s, claimFor(t, name), name) }()
	for range n - 1 {
		select {
		case err := <-finished:
			must(t, err)
			wantWrites(t, watch.db, name, 1)
			return true
		case <-held.Caught():
			next := proxy.Catch("")
			held.Pass()
			held = next
		}
	}
	select {
	case err := <-finished:
		must(t, err)
		return true
	case <-held.Caught():
	}
	cancel()
	var err error
	select {
	case err = <-finished:
	case <-time.After(20 * time.Second):
		t.Fatal("a cancelled context did not end the call")
	}
	if late {
		held.Pass()
	} else {
		held.Drop()
	}
	wantOutcome(t, watch, name, err)
	return false
}

// executeOnce claims a key, writes and completes.
func executeOnce(ctx context.Context, s *opened, c idempotency.Claim, name string) error {
	out, err := s.Begin(ctx, c)
	switch {
	case err != nil:
		return err
	case out.State != idempotency.Acquired:
		return fmt.Errorf("outcome %v", out.State)
	}
	if err := write(out.Execution.Context(ctx), s.db, name); err != nil {
		return idempotency.NotApplied(errors.Join(err, out.Execution.Release(ctx)))
	}
	return out.Execution.Complete(ctx, []byte(name))
}

// wantOutcome checks that what became of an execution is what its error said.
func wantOutcome(t *testing.T, watch *opened, name string, said error) {
	t.Helper()
	claim := claimFor(t, name)
	claim.Attempt = 1
	out, err := watch.Begin(t.Context(), claim)
	must(t, err)
	lasting, err := writes(t.Context(), watch.db, name)
	must(t, err)
	notApplied := errors.Is(said, idempotency.ErrNotApplied)
	switch {
	case out.State == idempotency.Done && lasting == 1 && !notApplied:
	case out.State == idempotency.Acquired && lasting == 0 && said != nil:
		must(t, out.Execution.Release(t.Context()))
	default:
		t.Errorf("outcome %v with %d writes, after error %v", out.State, lasting, said)
	}
}

// testLateClaim: a cancelled claim of a detached store arrives at the server
// after it was given up, and claims nothing.
func testLateClaim(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	proxy, near := p.behindProxy(t)
	s, other := near.store(t, WithDetached()), p.store(t, WithDetached())
	claim := claimFor(t, "key")
	insert := proxy.Catch(string(claim.Owner[:]))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := s.Begin(ctx, claim)
		result <- err
	}()
	insert.Wait(t)
	cancel()
	if err := <-result; err == nil || errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("begin: %v, want an unknown outcome", err)
	}
	given, err := other.Begin(t.Context(), claim) // as a guard does that was not told
	must(t, err)
	must(t, execIn(t, other.db, "DELETE FROM oncemore_record"))
	must(t, given.Execution.Release(t.Context()))
	insert.Pass()
	waitUntil(t, func() bool { return proxy.Open() <= 1 }) // the server has seen it
	late := claimFor(t, "key")
	out := acquire(t, other, late)
	must(t, out.Execution.Complete(t.Context(), []byte("record")))
}

// testHostVanishes: an owner that is cut off, without its connection being
// closed, holds the key until the server loses patience.
func testHostVanishes(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	proxy, near := p.behindProxy(t)
	s, other := near.store(t), p.store(t)
	claim := claimFor(t, "key")
	claim.Timeout = time.Second
	out, err := s.Begin(t.Context(), claim)
	must(t, err)
	must(t, write(out.Execution.Context(t.Context()), s.db, "vanished"))
	proxy.Freeze()
	next := acquire(t, other, claimFor(t, "key"))
	must(t, write(next.Execution.Context(t.Context()), other.db, "next"))
	must(t, next.Execution.Complete(t.Context(), []byte("next")))
	proxy.Thaw()
	if err := out.Execution.Complete(t.Context(), []byte("vanished")); !errors.Is(err, idempotency.ErrNotApplied) {
		t.Errorf("complete: %v, want ErrNotApplied", err)
	}
	wantWrites(t, other.db, "vanished", 0)
	wantWrites(t, other.db, "next", 1)
}

// testCutStatement: a handler whose statement was cut short by its context, and
// with it the connection, is released like any other: a late attempt finds that.
func testCutStatement(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	sleep := map[Dialect]string{MySQL: "SELECT SLEEP(0.5)", PostgreSQL: "SELECT pg_sleep(0.5)"}[b.dialect]
	_, err := i.call(t.Context(), "key", 5, func(ctx context.Context) error {
		must(t, write(ctx, i.db, "cut"))
		tx, _ := Tx(ctx)
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err := tx.ExecContext(ctx, sleep)
		return idempotency.NotDone(err)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the handler's", err)
	}
	again := func(ctx context.Context) error { return write(ctx, i.db, "again") }
	if _, err := i.call(t.Context(), "key", 4, again); !errors.Is(err, idempotency.ErrSuperseded) {
		t.Errorf("an earlier attempt: %v, want ErrSuperseded", err)
	}
	_, err = i.call(t.Context(), "key", 6, again)
	must(t, err)
	wantWrites(t, i.db, "cut", 0)
	wantWrites(t, i.db, "again", 1)
}

// testLongWait: a duplicate waits for longer than its driver waits for an
// answer.
func testLongWait(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	owner := p.store(t)
	p.dsn += map[Dialect]string{MySQL: "&readTimeout=1s"}[b.dialect] // pgx goes by contexts alone
	waiter := p.store(t)
	out := acquire(t, owner, claimFor(t, "key"))
	NoWrites(out.Execution.Context(t.Context()))
	var group sync.WaitGroup
	group.Go(func() {
		time.Sleep(5500 * time.Millisecond)
		if err := out.Execution.Complete(t.Context(), []byte("record")); err != nil {
			t.Errorf("complete: %v", err)
		}
	})
	wantState(t, waiter, claimFor(t, "key"), idempotency.Done)
	group.Wait()
}

// testServerKilled kills the server under load, twice, and restarts it. What
// was acknowledged has happened once; what was not is repeated until it is.
func testServerKilled(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	instances := []*instance{p.instance(t, 10), p.instance(t, 10), p.instance(t, 10)}
	var dispatched, acknowledged, refused atomic.Int32
	var over atomic.Bool // the last restart is
	var group sync.WaitGroup
	for range 24 {
		group.Go(func() {
			for !over.Load() {
				n := int(dispatched.Add(1))
				key := fmt.Sprintf("key-%d", n)
				for attempt := int64(0); ; attempt++ {
					i := instances[(n+int(attempt))%len(instances)]
					_, err := i.call(t.Context(), key, attempt, func(ctx context.Context) error { return write(ctx, i.db, key) })
					if err == nil {
						acknowledged.Add(1)
						break
					}
					refused.Add(1)
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	for range 2 {
		enough := acknowledged.Load() + 100
		waitUntil(t, func() bool { return acknowledged.Load() >= enough })
		b.server.Kill()
		b.server.Restart()
	}
	over.Store(true)
	group.Wait()
	if acknowledged.Load() != dispatched.Load() || refused.Load() == 0 {
		t.Errorf("%d of %d calls were acknowledged, and %d attempts failed", acknowledged.Load(), dispatched.Load(), refused.Load())
	}
	wantWrites(t, instances[0].db, "", int(dispatched.Load()))
	for n := range dispatched.Load() {
		wantWrites(t, instances[0].db, fmt.Sprintf("key-%d", n+1), 1)
	}
}
