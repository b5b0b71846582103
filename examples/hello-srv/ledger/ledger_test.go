package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/examples/hello-srv/storeurl"
	"github.com/oncemore-dev/oncemore/internal/servertest"
)

// writerFile makes the test binary a writer to the ledger it names, as LEDGER does.
const writerFile = "LEDGER_TEST_WRITER"

func TestMain(m *testing.M) {
	if value := os.Getenv(writerFile); value != "" {
		if err := writeAsChild(value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const rowsPerWriter = 40

func writeAsChild(value string) error {
	where, err := storeurl.ParseLedger(value)
	if err != nil {
		return err
	}
	ctx := context.Background()
	l, err := Open(ctx, where)
	if err != nil {
		return err
	}
	for i := range rowsPerWriter {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		t := Transfer{ID: id, Student: "of many", AmountCents: 1, Key: "w-" + id, At: time.Now()}
		if _, err := l.Add(ctx, t, 0); err != nil {
			return err
		}
	}
	return l.Close()
}

func open(t *testing.T, where storeurl.Store) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func transfer(id, student, key string, cents int64) Transfer {
	return Transfer{ID: id, Student: student, AmountCents: cents, Key: key, Instance: "hello-1", At: time.Now()}
}

func parse(t *testing.T, value string) storeurl.Store {
	t.Helper()
	where, err := storeurl.ParseLedger(value)
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// TestLedger runs everything on every database. Keys and students are each
// used in one place only.
func TestLedger(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "a ledger.db") },
		"MariaDB":    func(t *testing.T) string { return servertest.StartMariaDB(t).URL() },
		"PostgreSQL": func(t *testing.T) string { return servertest.StartPostgres(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			where := parse(t, start(t))
			// First, because instances that start at once race for the creation.
			t.Run("is shared by many processes", func(t *testing.T) { testManyProcesses(t, where) })
			l := open(t, where)
			t.Run("returns the balance with the transfer in it", func(t *testing.T) { testBalance(t, l) })
			t.Run("shows a second execution of a key", func(t *testing.T) { testSecondExecution(t, l) })
			t.Run("writes within somebody else's transaction", func(t *testing.T) { testForeignTransaction(t, l) })
			t.Run("fails whole", func(t *testing.T) { testFailsWhole(t, l) })
			t.Run("finds what was written", func(t *testing.T) { testFind(t, l) })
			t.Run("keeps out who comes too late", func(t *testing.T) { testFence(t, l) })
		})
	}
}

func testBalance(t *testing.T, l *Ledger) {
	for _, tt := range []struct {
		transfer Transfer
		balance  int64
	}{
		{transfer("b1", "xuxu", "a", 500), 500},
		{transfer("b2", "Xuxu", "b", 70), 70},
		{transfer("b3", "xuxu", "c", 1), 501},
		{transfer("b4", "Zoë", "", 3), 3},
	} {
		balance, err := l.Add(t.Context(), tt.transfer, 0)
		if err != nil || balance != tt.balance {
			t.Errorf("Add(%s) = %d, %v, want %d", tt.transfer.ID, balance, err, tt.balance)
		}
	}
	for student, want := range map[string]int64{"xuxu": 501, "Xuxu": 70, "Zoë": 3, "nobody": 0} {
		if got, err := l.Balance(t.Context(), student); err != nil || got != want {
			t.Errorf("Balance(%s) = %d, %v, want %d", student, got, err, want)
		}
	}
}

func testSecondExecution(t *testing.T, l *Ledger) {
	for i, key := range []string{"run-1", "run-2", "run-2", "Run-1", "run%"} {
		if _, err := l.Add(t.Context(), transfer("s"+strconv.Itoa(i), "twice", key, 1), 1); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.RowsByKey(t.Context(), "run-")
	if want := map[string]int{"run-1": 1, "run-2": 2}; err != nil || !maps.Equal(got, want) {
		t.Errorf("RowsByKey = %v, %v, want %v", got, err, want)
	}
}

func testForeignTransaction(t *testing.T, l *Ledger) {
	tx, err := l.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if balance, err := l.AddIn(t.Context(), tx, transfer("f1", "guest", "foreign-1", 5)); err != nil || balance != 5 {
		t.Fatalf("AddIn = %d, %v", balance, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if rows, err := l.RowsByKey(t.Context(), "foreign-"); err != nil || len(rows) != 0 {
		t.Errorf("after a rollback the ledger has %v, %v", rows, err)
	}
}

func testFailsWhole(t *testing.T, l *Ledger) {
	if _, err := l.Add(t.Context(), transfer("w1", "whole", "d", 5), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(t.Context(), transfer("w1", "whole", "e", 5), 0); err == nil {
		t.Error("a transfer id was taken twice")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Add(cancelled, transfer("w2", "whole", "f", 5), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	if balance, err := l.Balance(t.Context(), "whole"); err != nil || balance != 5 {
		t.Errorf("balance = %d, %v, want 5", balance, err)
	}
}

func testFind(t *testing.T, l *Ledger) {
	if _, err := l.Add(t.Context(), transfer("find-1", "found", "find", 5), 1); err != nil {
		t.Fatal(err)
	}
	if id, found, err := l.Find(t.Context(), "find", 2); id != "find-1" || !found || err != nil {
		t.Errorf("Find = %q, %t, %v", id, found, err)
	}
	if id, found, err := l.Find(t.Context(), "never", 2); id != "" || found || err != nil {
		t.Errorf("Find of what was not written = %q, %t, %v", id, found, err)
	}
}

func testFence(t *testing.T, l *Ledger) {
	if _, found, err := l.Find(t.Context(), "fenced", 3); found || err != nil {
		t.Fatalf("Find = %t, %v", found, err)
	}
	if _, err := l.Add(t.Context(), transfer("e1", "fenced", "fenced", 5), 2); !errors.Is(err, ErrFenced) {
		t.Errorf("Add by an execution that was taken over: %v, want ErrFenced", err)
	}
	if _, _, err := l.Find(t.Context(), "fenced", 2); !errors.Is(err, ErrFenced) {
		t.Errorf("Find by an execution that was taken over: %v, want ErrFenced", err)
	}
	if balance, err := l.Add(t.Context(), transfer("e2", "fenced", "fenced", 5), 3); balance != 5 || err != nil {
		t.Errorf("Add by who took over = %d, %v", balance, err)
	}
}

// testManyProcesses lets several instances start at once on a database that is
// empty yet: they race for its creation and for every row.
func testManyProcesses(t *testing.T, where storeurl.Store) {
	var wg sync.WaitGroup
	const writers = 4
	for range writers {
		wg.Go(func() {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), writerFile+"="+where.Environment())
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("writer: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	balance, err := open(t, where).Balance(t.Context(), "of many")
	if err != nil || balance != writers*rowsPerWriter {
		t.Errorf("balance = %d, %v, want %d", balance, err, writers*rowsPerWriter)
	}
}

func TestOpenNamesWhatItCannotOpen(t *testing.T) {
	for _, value := range []string{
		"sqlite:" + filepath.Join(t.TempDir(), "missing", "ledger.db"),
		"mysql://hello:secret@127.0.0.1:1/hello",
		"mysql://hello:secret@127.0.0.1:1/hello?tls=nonsense",
		"postgres://hello:secret@127.0.0.1:1/hello",
		"postgres://hello:secret@127.0.0.1:1/hello?sslmode=nonsense",
	} {
		where := parse(t, value)
		_, err := Open(t.Context(), where)
		if err == nil || !strings.Contains(err.Error(), where.String()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error = %v, want one that names %s", err, where)
		}
	}
	if _, err := Open(t.Context(), storeurl.Store{Kind: storeurl.None}); err == nil {
		t.Error("a ledger in nothing was opened")
	}
}

func TestMySQLSource(t *testing.T) {
	for value, want := range map[string]string{
		"mysql://u:p@h:1/d":                  "u:p@tcp(h:1)/d",
		"mysql://u@h/d?tls=true":             "u@tcp(h:3306)/d?tls=true",
		"mysql://u:a%40b@[::1]/d?timeout=1s": "u:a@b@tcp([::1]:3306)/d?timeout=1s",
	} {
		if got, err := mysqlSource(parse(t, value)); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", value, got, err, want)
		}
	}
}
