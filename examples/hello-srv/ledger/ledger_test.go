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
)

// writerFile makes the test binary a writer to the ledger it names.
const writerFile = "LEDGER_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerFile); path != "" {
		if err := writeAsChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const rowsPerWriter = 40

func writeAsChild(path string) error {
	ctx := context.Background()
	l, err := Open(ctx, path)
	if err != nil {
		return err
	}
	for i := range rowsPerWriter {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if _, err := l.Add(ctx, Transfer{ID: id, Student: "xuxu", AmountCents: 1, Key: "w-" + id, At: time.Now()}); err != nil {
			return err
		}
	}
	return l.Close()
}

func open(t *testing.T) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "a ledger.db"))
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

func TestAddReturnsTheBalanceWithTheTransferInIt(t *testing.T) {
	l := open(t)
	for _, tt := range []struct {
		transfer Transfer
		balance  int64
	}{
		{transfer("1", "xuxu", "a", 500), 500},
		{transfer("2", "kim", "b", 70), 70},
		{transfer("3", "xuxu", "c", 1), 501},
	} {
		balance, err := l.Add(t.Context(), tt.transfer)
		if err != nil || balance != tt.balance {
			t.Errorf("Add(%s) = %d, %v, want %d", tt.transfer.ID, balance, err, tt.balance)
		}
	}
	for student, want := range map[string]int64{"xuxu": 501, "kim": 70, "nobody": 0} {
		if got, err := l.Balance(t.Context(), student); err != nil || got != want {
			t.Errorf("Balance(%s) = %d, %v, want %d", student, got, err, want)
		}
	}
}

func TestASecondExecutionOfAKeyShows(t *testing.T) {
	l := open(t)
	for i, key := range []string{"run-1", "run-2", "run-2", "other-1", "run%"} {
		if _, err := l.Add(t.Context(), transfer(strconv.Itoa(i), "xuxu", key, 1)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.RowsByKey(t.Context(), "run-")
	if want := map[string]int{"run-1": 1, "run-2": 2}; err != nil || !maps.Equal(got, want) {
		t.Errorf("RowsByKey = %v, %v, want %v", got, err, want)
	}
}

func TestAddWithinSomebodyElsesTransaction(t *testing.T) {
	l := open(t)
	tx, err := l.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if balance, err := Add(t.Context(), tx, transfer("1", "xuxu", "a", 5)); err != nil || balance != 5 {
		t.Fatalf("Add = %d, %v", balance, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if rows, err := l.RowsByKey(t.Context(), ""); err != nil || len(rows) != 0 {
		t.Errorf("after a rollback the ledger has %v, %v", rows, err)
	}
}

func TestAddFailsWhole(t *testing.T) {
	l := open(t)
	if _, err := l.Add(t.Context(), transfer("1", "xuxu", "a", 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(t.Context(), transfer("1", "xuxu", "b", 5)); err == nil {
		t.Error("a transfer id was taken twice")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Add(cancelled, transfer("2", "xuxu", "c", 5)); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	if balance, err := l.Balance(t.Context(), "xuxu"); err != nil || balance != 5 {
		t.Errorf("balance = %d, %v, want 5", balance, err)
	}
}

func TestOpenNamesThePathThatItCannotOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "ledger.db")
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error = %v, want one that names %s", err, path)
	}
}

// Several instances that start at once on a file that does not exist yet race
// for its creation, for write-ahead logging and for every row.
func TestManyProcessesShareOneLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	var wg sync.WaitGroup
	const writers = 4
	for range writers {
		wg.Go(func() {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), writerFile+"="+path)
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("writer: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()

	l, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if balance, err := l.Balance(t.Context(), "xuxu"); err != nil || balance != writers*rowsPerWriter {
		t.Errorf("balance = %d, %v, want %d", balance, err, writers*rowsPerWriter)
	}
}
