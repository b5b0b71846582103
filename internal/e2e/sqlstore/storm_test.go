package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
	. "github.com/oncemore-dev/oncemore/idempotency/sqlstore"
)

// instance is a service on a pool of its own, as in another process.
type instance struct {
	db    *sql.DB
	store *opened
	guard *idempotency.Guard
}

func (p *place) instance(t *testing.T, connections int, options ...Option) *instance {
	t.Helper()
	db := p.open(t)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	i := &instance{db: db, store: storeOn(t, db, options...)}
	var err error
	i.guard, err = idempotency.New(i.store,
		idempotency.WithMaxWait(2*time.Minute), idempotency.WithStoreTimeout(time.Minute),
		idempotency.WithHook(func(context.Context, idempotency.Event) {}))
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		must(t, i.guard.Drain(ctx))
	})
	return i
}

func (i *instance) call(
	ctx context.Context, key string, attempt int64, work func(ctx context.Context) error,
) (string, error) {
	reply := &wrapperspb.StringValue{}
	_, err := i.guard.Do(ctx, idempotency.Call{
		Service: "sqlstore", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: key}, Attempt: attempt, Declared: true,
		Body: wrapperspb.String("body"), Reply: reply,
	}, func(ctx context.Context) error {
		reply.Value = key + " was executed"
		return work(ctx)
	})
	return reply.GetValue(), err
}

// testStorm sends 200 duplicates of each of 50 keys to three instances at once.
func testStorm(t *testing.T, b *backend) {
	t.Helper()
	t.Run("Transactional", func(t *testing.T) { storm(t, b, 50, 200) })
	t.Run("Detached", func(t *testing.T) { storm(t, b, 50, 200, WithDetached()) })
}

// testSerializable does so where transactions are SERIALIZABLE unless they say
// otherwise, and even a look loses against others.
func testSerializable(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	p.dsn += map[Dialect]string{
		MySQL: "&tx_isolation=%27SERIALIZABLE%27", PostgreSQL: "&default_transaction_isolation=serializable",
	}[b.dialect]
	migrateAtOnce(t, p)
	t.Run("Transactional", func(t *testing.T) { p.storm(t, "t", 50, 200) })
	t.Run("Detached", func(t *testing.T) { p.storm(t, "d", 50, 200, WithDetached()) })
}

func storm(t *testing.T, b *backend, keys, duplicates int, options ...Option) {
	t.Helper()
	b.newPlace(t).storm(t, "key", keys, duplicates, options...)
}

func (p *place) storm(t *testing.T, prefix string, keys, duplicates int, options ...Option) {
	t.Helper()
	instances := []*instance{
		p.instance(t, 40, options...), p.instance(t, 40, options...), p.instance(t, 40, options...),
	}
	var runs atomic.Int32
	var group sync.WaitGroup
	for n := range keys * duplicates {
		i, key := instances[n/keys%len(instances)], fmt.Sprintf("%s-%d", prefix, n%keys)
		group.Go(func() {
			reply, err := i.call(t.Context(), key, 0, func(ctx context.Context) error {
				runs.Add(1)
				return write(ctx, i.db, key)
			})
			if err != nil || reply != key+" was executed" {
				t.Errorf("%s: reply %q, %v", key, reply, err)
			}
		})
	}
	group.Wait()
	if int(runs.Load()) != keys {
		t.Errorf("%d executions, want %d", runs.Load(), keys)
	}
	for n := range keys {
		wantWrites(t, instances[0].db, fmt.Sprintf("%s-%d", prefix, n), 1)
	}
}

// testStormOnTheStore does the same without a Guard, so that every duplicate
// goes to the database.
func testStormOnTheStore(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	instances := []*instance{p.instance(t, 40), p.instance(t, 40), p.instance(t, 40)}
	const keys, duplicates = 50, 200
	var group sync.WaitGroup
	var acquired, replayed atomic.Int32
	for n := range keys * duplicates {
		i, key := instances[n/keys%len(instances)], fmt.Sprintf("key-%d", n%keys)
		claim := claimFor(t, key)
		claim.Wait = 2 * time.Minute
		group.Go(func() {
			out, err := i.store.Begin(t.Context(), claim)
			switch {
			case err != nil:
				t.Errorf("begin: %v", err)
			case out.State == idempotency.Done && string(out.Record) == key:
				replayed.Add(1)
			case out.State == idempotency.Acquired:
				acquired.Add(1)
				if err := errors.Join(
					write(out.Execution.Context(t.Context()), i.db, key),
					out.Execution.Complete(t.Context(), []byte(key)),
				); err != nil {
					t.Errorf("execute: %v", err)
				}
			default:
				t.Errorf("outcome %v, record %q", out.State, out.Record)
			}
		})
	}
	group.Wait()
	if acquired.Load() != keys || replayed.Load() != keys*(duplicates-1) {
		t.Errorf("%d acquired, %d replayed", acquired.Load(), replayed.Load())
	}
	wantWrites(t, instances[0].db, "", keys)
}

// testEveryWinnerFails sends 1,000 duplicates of one key, whose executions all
// fail, so that each runs in turn, and the last attempt succeeds.
func testEveryWinnerFails(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	instances := []*instance{p.instance(t, 40), p.instance(t, 40), p.instance(t, 40)}
	deadlocks := b.deadlocks(t)
	errFail := errors.New("the winner fails")
	const duplicates = 1000
	var runs atomic.Int32
	var group sync.WaitGroup
	for n := range duplicates {
		i := instances[n%len(instances)]
		group.Go(func() {
			_, err := i.call(t.Context(), "key", 0, func(ctx context.Context) error {
				runs.Add(1)
				return errors.Join(write(ctx, i.db, "failed"), errFail)
			})
			if !errors.Is(err, errFail) {
				t.Errorf("error %v", err)
			}
		})
	}
	group.Wait()
	if runs.Load() != duplicates {
		t.Errorf("%d executions, want %d", runs.Load(), duplicates)
	}
	if got := b.deadlocks(t) - deadlocks; got != 0 {
		t.Errorf("%d deadlocks", got)
	}
	wantWrites(t, instances[0].db, "failed", 0)
	if _, err := instances[0].call(t.Context(), "key", 0, func(ctx context.Context) error {
		return write(ctx, instances[0].db, "succeeded")
	}); err != nil {
		t.Errorf("the last attempt: %v", err)
	}
	wantWrites(t, instances[1].db, "succeeded", 1)
}

// deadlocks is how many the server has counted.
func (b *backend) deadlocks(t *testing.T) (n int) {
	t.Helper()
	query := map[Dialect]string{
		MySQL:      "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'Innodb_deadlocks'",
		PostgreSQL: "SELECT SUM(deadlocks) FROM pg_stat_database",
	}[b.dialect]
	if query == "" { // one writer at a time cannot deadlock
		return 0
	}
	db, err := sql.Open(b.driver(), b.server.DSN())
	must(t, err)
	defer func() { must(t, db.Close()) }()
	must(t, db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// testWaitersArePooled shows that claims that wait leave room in the pool.
func testWaitersArePooled(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	out := acquire(t, p.store(t), claimFor(t, "held"))
	i := p.instance(t, 6, WithMaxWaiters(2))
	var group sync.WaitGroup
	for range 30 {
		claim := claimFor(t, "held")
		group.Go(func() {
			out, err := i.store.Begin(t.Context(), claim)
			if err != nil || out.State != idempotency.Done {
				t.Errorf("outcome %v, %v", out.State, err)
			}
		})
	}
	waitUntil(t, func() bool { return i.db.Stats().InUse == 2 })
	for n := range 20 { // others are not held up
		must(t, acquire(t, i.store, claimFor(t, fmt.Sprint("free-", n))).Execution.Release(t.Context()))
	}
	NoWrites(out.Execution.Context(t.Context()))
	must(t, out.Execution.Complete(t.Context(), []byte("held")))
	group.Wait()
}

func waitUntil(t *testing.T, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("it did not come to pass")
		}
	}
}

func testConnectionsComeBackClean(t *testing.T, b *backend) {
	t.Helper()
	p := b.newPlace(t)
	i := p.instance(t, 4)
	for n := range 20 {
		key := fmt.Sprint("key-", n)
		_, err := i.call(t.Context(), key, 0, func(ctx context.Context) error {
			if n%2 == 0 {
				return errors.New("failed")
			}
			return write(ctx, i.db, key)
		})
		if failed := err != nil; failed != (n%2 == 0) {
			t.Errorf("%s: %v", key, err)
		}
	}
	p.wantCleanSessions(t, i.db)
}

// wantCleanSessions checks that connections come back from executions as they
// were before.
func (p *place) wantCleanSessions(t *testing.T, db *sql.DB) {
	t.Helper()
	query := map[Dialect]string{
		MySQL:      "SELECT CONCAT_WS(' ', @@autocommit, @@wait_timeout = @@GLOBAL.wait_timeout, @@in_transaction, RELEASE_ALL_LOCKS())",
		PostgreSQL: "SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'))",
	}[p.dialect]
	want := map[Dialect]string{MySQL: "ON 1 0 0", PostgreSQL: "0 0"}[p.dialect]
	var group sync.WaitGroup
	for range db.Stats().OpenConnections {
		conn, err := db.Conn(t.Context())
		must(t, err)
		group.Go(func() {
			var got string
			if err := conn.QueryRowContext(t.Context(), query).Scan(&got); err != nil || strings.TrimSpace(got) != want {
				t.Errorf("session %q, %v; want %q", got, err, want)
			}
		})
		defer func() { must(t, conn.Close()) }()
	}
	group.Wait()
}
