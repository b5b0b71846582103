package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/proto/hello"
	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// pair is two instances on one store.
type pair struct {
	store, ledger storeurl.Store
	one, two      *instance
}

func startPair(t *testing.T, transport string, store, book storeurl.Store, args ...string) *pair {
	t.Helper()
	return &pair{
		store: store, ledger: book,
		one: startOn(t, transport, store, book, args...),
		two: startOn(t, transport, store, book, args...),
	}
}

func parseStore(t *testing.T, value string) storeurl.Store {
	t.Helper()
	store, err := storeurl.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func tipOnce(ctx context.Context, i *instance, cents int64) (*hello.TipReply, error) {
	return i.wallet.Tip(ctx, &hello.TipRequest{Student: "xuxu", AmountCents: cents}, i.at())
}

func mustTip(ctx context.Context, t *testing.T, i *instance, cents int64) *hello.TipReply {
	t.Helper()
	reply, err := tipOnce(ctx, i, cents)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// TestEveryStore starts the real servers.
func TestEveryStore(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "hello.db") },
		"MariaDB":    func(t *testing.T) string { return servertest.StartMariaDB(t).URL() },
		"PostgreSQL": func(t *testing.T) string { return servertest.StartPostgres(t).URL() },
		"Redis":      func(t *testing.T) string { return servertest.StartRedis(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			store := parseStore(t, start(t))
			book := store
			if !store.IsDatabase() {
				book = storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")}
			}
			for _, transport := range fixture.Transports() {
				t.Run(transport, func(t *testing.T) {
					p := startPair(t, transport, store, book, "--faults")
					t.Run("a duplicate is answered as the first was", func(t *testing.T) { p.testReplay(t, transport) })
					t.Run("another request under the same key", func(t *testing.T) { p.testMismatch(t, transport) })
					t.Run("duplicates at once", func(t *testing.T) { p.testStorm(t, transport) })
					t.Run("an instance dies", func(t *testing.T) { p.testDeath(t, transport) })
				})
			}
		})
	}
}

func (p *pair) testReplay(t *testing.T, transport string) {
	key := "replay-" + transport
	first := mustTip(keyed(t, key), t, p.one, 5)
	for _, i := range []*instance{p.one, p.two} {
		if again := mustTip(keyed(t, key), t, i, 5); !proto.Equal(again, first) {
			t.Errorf("a duplicate was answered %v, want %v", again, first)
		}
	}
	if n := p.one.executions(t)[key]; n != 1 {
		t.Errorf("%d executions", n)
	}
}

func (p *pair) testMismatch(t *testing.T, transport string) {
	key := "mismatch-" + transport
	mustTip(keyed(t, key), t, p.one, 5)
	if _, err := tipOnce(keyed(t, key), p.two, 6); code(err) != 422 {
		t.Errorf("error = %v, want code 422", err)
	}
	if n := p.one.executions(t)[key]; n != 1 {
		t.Errorf("%d executions", n)
	}
}

func (p *pair) testStorm(t *testing.T, transport string) {
	const keys, duplicates = 5, 8
	var mu sync.Mutex
	answers := make(map[string]*hello.TipReply)
	var wg sync.WaitGroup
	for n := range keys * duplicates {
		key := fmt.Sprintf("storm-%s-%d", transport, n%keys)
		i := []*instance{p.one, p.two}[n/keys%2]
		wg.Go(func() {
			reply, err := tipOnce(keyed(t, key), i, 5)
			if err != nil {
				t.Errorf("%s: %v", key, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first := answers[key]; first != nil && !proto.Equal(first, reply) {
				t.Errorf("%s: answered %v and %v", key, first, reply)
			}
			answers[key] = reply
		})
	}
	wg.Wait()
	executions := p.one.executions(t)
	for key := range answers {
		if n := executions[key]; n != 1 {
			t.Errorf("%s: %d executions", key, n)
		}
	}
	if len(answers) != keys {
		t.Errorf("%d keys were answered, want %d", len(answers), keys)
	}
}

// testDeath lets an instance die before its work, and after it and the commit
// but before its reply. Whoever comes next gets an answer, and there is one
// execution.
func (p *pair) testDeath(t *testing.T, transport string) {
	for _, asked := range []string{"exit-before", "exit-after"} {
		key := asked + "-" + transport
		victim := startOn(t, transport, p.store, p.ledger, "--faults")
		if _, err := tipOnce(keyed(t, key, faultMetadata, asked), victim, 5); err == nil {
			t.Errorf("%s: the instance answered", asked)
		}
		for range victim.exited { // until closed
		}
		first := mustTip(keyed(t, key), t, p.one, 5)
		if again := mustTip(keyed(t, key), t, p.two, 5); !proto.Equal(first, again) {
			t.Errorf("%s: answered %v and %v", asked, first, again)
		}
		if n := p.one.executions(t)[key]; n != 1 {
			t.Errorf("%s: %d executions", asked, n)
		}
	}
}

// TestRedisIsFencedAgainstTheFrozen has an instance be silent for longer than
// its lease, in the middle of a tip, which another one then takes over.
func TestRedisIsFencedAgainstTheFrozen(t *testing.T) {
	store := parseStore(t, servertest.StartRedis(t).URL())
	book := storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")}
	p := startPair(t, fixture.MUCP, store, book, "--faults")

	answered := make(chan error, 1)
	frozen := startOn(t, fixture.MUCP, store, book, "--faults")
	go func() {
		_, err := tipOnce(keyed(t, "frozen", faultMetadata, "sleep=1s"), frozen, 5)
		answered <- err
	}()
	time.Sleep(500 * time.Millisecond) // it has claimed the key, and sleeps
	frozen.freeze(t)
	first := mustTip(keyed(t, "frozen"), t, p.one, 5) // after the lease
	frozen.thaw(t)
	if err := <-answered; err == nil {
		t.Error("who had lost its lease said that it had paid")
	}
	if again := mustTip(keyed(t, "frozen"), t, p.two, 5); !proto.Equal(first, again) {
		t.Errorf("answered %v and %v", first, again)
	}
	if n := p.one.executions(t)["frozen"]; n != 1 {
		t.Errorf("%d executions", n)
	}
}

// TestWithoutASharedStoreATipRunsAgain shows that the ledger would tell.
func TestWithoutASharedStoreATipRunsAgain(t *testing.T) {
	for value, want := range map[string]int{"none:": 4, "memory:": 2} {
		t.Run(value, func(t *testing.T) {
			book := storeurl.Store{Kind: storeurl.SQLite, Path: filepath.Join(t.TempDir(), "ledger.db")}
			p := startPair(t, fixture.GRPC, parseStore(t, value), book)
			for range 2 {
				mustTip(keyed(t, "k"), t, p.one, 5)
				mustTip(keyed(t, "k"), t, p.two, 5)
			}
			if n := p.one.executions(t)["k"]; n != want {
				t.Errorf("%d executions, want %d", n, want)
			}
		})
	}
}
