package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/redisstore"
	"github.com/oncemore-dev/oncemore/idempotency/sqlstore"
	"github.com/oncemore-dev/oncemore/internal/proctest"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// workAt names the store of a process that begins an execution, and waits to be
// killed; workLease its lease, and workRunning the file by which it says so.
const workAt, workLease, workRunning = "ONCEMORE_TEST_STORE", "ONCEMORE_TEST_LEASE", "ONCEMORE_TEST_RUNNING"

// TestMain is the test's own, the operator's tool, or a service that dies.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(workAt) != "":
		if err := work(os.Getenv(workAt), os.Getenv(workLease), os.Getenv(workRunning)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case filepath.Base(os.Args[0]) == "oncemore":
		main()
	default:
		goleak.VerifyTestMain(m)
	}
}

// scope is the call that the tests are about.
func scope() idempotency.Scope {
	return idempotency.Scope{Service: "shop", Endpoint: "POST /tips", Caller: "ann", Key: "order-7"}
}

// lease is how long it takes to notice that a service has died, and longLease is
// longer than any test.
const lease, longLease = 300 * time.Millisecond, time.Hour

// openFor opens a store as a service would.
func openFor(ctx context.Context, value string) (idempotency.Store, func() error, error) {
	scheme, _, _ := strings.Cut(value, ":")
	if scheme == "redis" {
		store, err := redisstore.Open(ctx, value)
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	}
	driver, source, err := sourceOf(scheme, value)
	if err != nil {
		return nil, nil, err
	}
	if scheme == "sqlite" {
		source += "&_pragma=journal_mode(WAL)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(ctx, db, sqlstore.WithMigrate(), sqlstore.WithDetached(), sqlstore.WithSweepInterval(0))
	if err != nil {
		return nil, nil, err
	}
	return store, func() error { return joinClose(store.Close, db.Close) }, nil
}

func joinClose(closers ...func() error) error {
	for _, c := range closers {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}

// work executes a call that does not end.
func work(value, lease, running string) error {
	term, err := time.ParseDuration(lease)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	store, closeStore, err := openFor(ctx, value)
	if err != nil {
		return err
	}
	guard, err := idempotency.New(store, idempotency.WithLease(term), idempotency.WithInstance("shop-1"))
	if err != nil {
		return err
	}
	_, err = guard.Do(ctx, callOf(scope()), func(context.Context) error {
		if err := os.WriteFile(running, nil, 0o600); err != nil {
			return err
		}
		<-ctx.Done()
		return idempotency.NotDone(ctx.Err())
	})
	if ctx.Err() == nil {
		return err
	}
	return closeStore()
}

func callOf(s idempotency.Scope) idempotency.Call {
	return idempotency.Call{
		Service: s.Service, Endpoint: s.Endpoint, Caller: s.Caller,
		Key: idempotency.Key{Value: s.Key}, Body: "five cents", Reply: new(map[string]string),
	}
}

// startWork starts a service that executes the call.
func startWork(t *testing.T, value string, lease time.Duration) *proctest.Process {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	t.Setenv(workAt, value)
	t.Setenv(workLease, lease.String())
	t.Setenv(workRunning, running)
	p := proctest.Start(t, proctest.Command{
		Name: "shop-1", Path: os.Args[0],
		Ready: func(context.Context) error {
			_, err := os.Stat(running)
			return err
		},
	})
	for _, name := range []string{workAt, workLease, workRunning} {
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// repeat sends the call once more, as its caller would, and tells how often it was
// executed.
func repeat(t *testing.T, value string) (runs int, err error) {
	t.Helper()
	store, closeStore, err := openFor(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeStore(); err != nil {
			t.Error(err)
		}
	}()
	guard, err := idempotency.New(store, idempotency.WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = guard.Do(t.Context(), callOf(scope()), func(context.Context) error { runs++; return nil })
	return runs, err
}

// backends are the stores, each of which is started once.
func backends(t *testing.T) map[string]func(t *testing.T) string {
	t.Helper()
	mariadb, postgres, redis := servertest.StartMariaDB(t), servertest.StartPostgres(t), servertest.StartRedis(t)
	number := 0
	fresh := func(t *testing.T, driver, dsn, shown string) string {
		t.Helper()
		number++
		name := fmt.Sprintf("shop%d", number)
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(shown)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name
		return u.String()
	}
	return map[string]func(t *testing.T) string{
		"SQLite":     newSQLite,
		"MariaDB":    func(t *testing.T) string { return fresh(t, "mysql", mariadb.DSN(), mariadb.URL()) },
		"PostgreSQL": func(t *testing.T) string { return fresh(t, "pgx", postgres.DSN(), postgres.URL()) },
		"Redis": func(*testing.T) string {
			number++
			return fmt.Sprintf("redis://%s/%d", redis.Address(), number)
		},
	}
}

func newSQLite(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // the tool makes none
		t.Fatal(err)
	}
	value := "sqlite:" + path
	_, closeStore, err := openFor(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if err := closeStore(); err != nil {
		t.Fatal(err)
	}
	return value
}

// did is what a command did.
type did struct {
	stdout, stderr string
	status         int
}

func command(t *testing.T, value string, args ...string) did {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), append([]string{"oncemore", "--store", value}, args...), &stdout, &stderr)
	return did{stdout.String(), stderr.String(), status}
}

// mustDo is command for one that succeeds.
func mustDo(t *testing.T, value string, args ...string) string {
	t.Helper()
	d := command(t, value, args...)
	if d.status != 0 {
		t.Fatalf("oncemore %s: status %d, %s", strings.Join(args, " "), d.status, d.stderr)
	}
	return d.stdout
}

// awaitOrphan waits until the store knows that the service has died.
func awaitOrphan(t *testing.T, value string) {
	t.Helper()
	for !strings.Contains(mustDo(t, value, "list"), scope().StoreKey().String()) {
		time.Sleep(lease / 10)
	}
}
