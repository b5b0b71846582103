// Package upgrade shows that a rolling upgrade loses nothing: instances of the
// version before and of this one work on one store, each with what the other has
// left there, and call each other.
package upgrade

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a store that two versions share.
type place struct {
	kind, at string
	open     func(t *testing.T) idempotency.Inspector
}

func (p *place) detached() bool { return p.kind == "redis" || strings.HasSuffix(p.kind, "/detached") }

func (p *place) manyWriters() bool { return !strings.HasPrefix(p.kind, "sqlite/") }

func TestRollingUpgrade(t *testing.T) {
	before, now := build(t, "instance")
	mysql, postgres, redis := servertest.StartMariaDB(t), servertest.StartPostgres(t), servertest.StartRedis(t)
	for _, p := range []*place{
		sqlPlace("mysql", mysql.DSN(), "transactional"),
		sqlPlace("pgx", postgres.DSN(), "transactional"),
		sqlPlace("mysql", servertest.StartMariaDB(t).DSN(), "detached"),
		sqlPlace("pgx", servertest.StartPostgres(t).DSN(), "detached"),
		sqlPlace("sqlite", filepath.Join(t.TempDir(), "t.db")+sqliteOptions, "transactional"),
		sqlPlace("sqlite", filepath.Join(t.TempDir(), "d.db")+sqliteOptions, "detached"),
		{"redis", redis.URL(), func(t *testing.T) idempotency.Inspector {
			t.Helper()
			s, err := redisstore.Open(t.Context(), redis.URL())
			must(t, err)
			t.Cleanup(func() { must(t, s.Close()) })
			return s
		}},
	} {
		t.Run(p.kind, func(t *testing.T) { rollingUpgrade(t, p, before, now) })
	}
}

const sqliteOptions = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)" +
	"&_txlock=immediate"

func sqlPlace(driver, dsn, mode string) *place {
	open := func(t *testing.T) *sql.DB {
		t.Helper()
		db, err := sql.Open(driver, dsn)
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	return &place{kind: driver + "/" + mode, at: dsn, open: func(t *testing.T) idempotency.Inspector {
		t.Helper()
		s, err := sqlstore.New(t.Context(), open(t))
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return s
	}}
}

// rollingUpgrade goes through an upgrade in the order in which it happens: only old
// instances; the first new one, beside an old one that is never restarted; one more
// old one, that starts late, or again.
func rollingUpgrade(t *testing.T, p *place, before, now string) {
	createBusiness(t, p)
	old := start(t, before, "old", p.kind, p.at)
	old.says(t, "ready")
	old.want(t, "call recorded", "by old")
	old.want(t, "release released", "nothing done")
	old.tell(t, "hold running")
	old.says(t, "holding running")
	dead := (*process)(nil)
	if p.detached() {
		dead = start(t, before, "dead", p.kind, p.at)
		dead.says(t, "ready")
		dead.tell(t, "hold orphaned")
		dead.says(t, "holding orphaned")
		dead.kill()
	}

	fresh := start(t, now, "new", p.kind, p.at)
	if p.detached() { // a transaction of the old instance would be waited for
		fresh.says(t, "ready")
		fresh.tell(t, "call running") // joins
	} else if p.manyWriters() { // others go on while the upgrade waits
		for n := range 20 {
			old.want(t, fmt.Sprint("call meanwhile-", n), "by old")
		}
	}
	old.tell(t, "go running")
	if got := old.says(t, "hold running"); got != "by old" {
		t.Errorf("what ran during the upgrade: %q, want %q", got, "by old")
	}
	fresh.says(t, "ready")
	fresh.want(t, "call recorded", "by old")
	fresh.want(t, "call running", "by old")
	fresh.want(t, "call released", "by new")
	late := start(t, before, "late", p.kind, p.at)
	late.says(t, "ready")
	for _, other := range []*process{old, late} {
		other.want(t, "call released", "by new")
		other.want(t, "call by-"+other.name, "by "+other.name)
		fresh.want(t, "call by-"+other.name, "by "+other.name)
	}
	all := []*process{old, late, fresh}
	joinEachOther(t, old, fresh)
	joinEachOther(t, fresh, old)
	atOnce(t, all)
	releaseEachOther(t, old, fresh)
	releaseEachOther(t, fresh, late)
	if p.detached() {
		orphanEachOther(t, p, dead, fresh, old, now)
	}
	wantShown(t, p)
}

func createBusiness(t *testing.T, p *place) {
	t.Helper()
	if p.kind == "redis" {
		return
	}
	driver, _, _ := strings.Cut(p.kind, "/")
	db, err := sql.Open(driver, p.at)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE business (name VARCHAR(100) NOT NULL)")
	must(t, err)
}

// joinEachOther: a duplicate at the one version gets the answer that the other is
// about to give.
func joinEachOther(t *testing.T, runs, joins *process) {
	t.Helper()
	key := "joined-by-" + joins.name
	runs.tell(t, "hold "+key)
	runs.says(t, "holding "+key)
	joins.tell(t, "call "+key)
	runs.tell(t, "go "+key)
	for _, got := range []string{runs.says(t, "hold "+key), joins.says(t, "call "+key)} {
		if want := "by " + runs.name; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// atOnce sends the same calls to all instances: each runs once.
func atOnce(t *testing.T, all []*process) {
	t.Helper()
	const keys = 100
	var group sync.WaitGroup
	for _, p := range all {
		group.Go(func() {
			for n := range keys {
				p.tell(t, fmt.Sprint("call at-once-", n))
			}
		})
	}
	group.Wait()
	for n := range keys {
		key := fmt.Sprint("at-once-", n)
		runs, answers := 0, make(map[string]bool)
		for _, p := range all {
			answers[p.says(t, "call "+key)] = true
			runs += p.runs(key)
		}
		if runs != 1 || len(answers) != 1 {
			t.Errorf("%s: %d executions, and the answers %v; want one of each", key, runs, answers)
		}
	}
}

// releaseEachOther: what the one version has released the other executes.
func releaseEachOther(t *testing.T, releases, runs *process) {
	t.Helper()
	key := "released-by-" + releases.name
	releases.want(t, "release "+key, "nothing done")
	runs.want(t, "call "+key, "by "+runs.name)
	releases.want(t, "call "+key, "by "+runs.name)
}

// orphanEachOther: an orphan of either version is one for the other.
func orphanEachOther(t *testing.T, p *place, dead, fresh, old *process, now string) {
	t.Helper()
	const unknown = "the outcome of the request with this idempotency key is unknown"
	fresh.want(t, "call orphaned", unknown)
	killed := start(t, now, "killed", p.kind, p.at)
	killed.says(t, "ready")
	killed.tell(t, "hold orphaned-new")
	killed.says(t, "holding orphaned-new")
	killed.kill()
	old.want(t, "call orphaned-new", unknown)
	if n := dead.runs("orphaned") + fresh.runs("orphaned"); n != 1 {
		t.Errorf("%d executions of an orphan, want 1", n)
	}
}

// wantShown: an operator of this version finds what either has left, by its scope
// what this one has.
func wantShown(t *testing.T, p *place) {
	t.Helper()
	inspector := p.open(t)
	for key, shown := range map[string]bool{"recorded": false, "released": true} {
		scope := idempotency.Scope{Service: "upgrade", Endpoint: "Wallet.Tip", Key: key}
		e, err := inspector.Lookup(t.Context(), scope.StoreKey())
		must(t, err)
		if e.State != idempotency.Done {
			t.Errorf("%s is %v, want done", key, e.State)
		}
		if (e.Scope == scope) != shown {
			t.Errorf("%s has the scope %+v", key, e.Scope)
		}
	}
	if n := count(t.Context(), t, inspector, "by-old"); n != 0 {
		t.Errorf("%d entries are found by a key that nobody kept", n)
	}
	if n := count(t.Context(), t, inspector, "released"); n != 1 {
		t.Errorf("%d entries are found by their key, want 1", n)
	}
}

func count(ctx context.Context, t *testing.T, i idempotency.Inspector, key string) (n int) {
	t.Helper()
	for _, err := range i.List(ctx, idempotency.Filter{Service: "upgrade", Key: key}) {
		must(t, err)
		n++
	}
	return n
}
