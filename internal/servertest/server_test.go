//go:build linux

package servertest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notebook is what the tests do with any server: keep a word. Both methods
// use a connection of their own.
type notebook interface {
	write(ctx context.Context, word string) error
	read(ctx context.Context) (string, error)
}

type redisNotebook struct{ url string }

func (n redisNotebook) with(do func(*redis.Client) error) (err error) {
	options, err := redis.ParseURL(n.url)
	if err != nil {
		return err
	}
	options.MaxRetries, options.ContextTimeoutEnabled = -1, true
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	return do(client)
}

func (n redisNotebook) write(ctx context.Context, word string) error {
	return n.with(func(c *redis.Client) error { return c.Set(ctx, "word", word, 0).Err() })
}

func (n redisNotebook) read(ctx context.Context) (word string, err error) {
	err = n.with(func(c *redis.Client) error {
		word, err = c.Get(ctx, "word").Result()
		return err
	})
	return word, err
}

type sqlNotebook struct{ driver, dsn string }

func (n sqlNotebook) with(do func(*sql.DB) error) (err error) {
	db, err := sql.Open(n.driver, n.dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db)
}

func (n sqlNotebook) write(ctx context.Context, word string) error {
	return n.with(func(db *sql.DB) error {
		// The word is a constant of the test: drivers differ in placeholders.
		_, errCreate := db.ExecContext(ctx, "CREATE TABLE notebook (word VARCHAR(20))")
		_, errInsert := db.ExecContext(ctx, "INSERT INTO notebook VALUES ('"+word+"')")
		return errors.Join(errCreate, errInsert)
	})
}

func (n sqlNotebook) read(ctx context.Context) (word string, err error) {
	err = n.with(func(db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT word FROM notebook").Scan(&word)
	})
	return word, err
}

func TestServer(t *testing.T) {
	t.Run("Redis", func(t *testing.T) {
		s := servertest.StartRedis(t, "--appendonly", "yes")
		exercise(t, s, redisNotebook{s.URL()})
	})
	t.Run("MariaDB", func(t *testing.T) {
		s := servertest.StartMariaDB(t)
		exercise(t, s, sqlNotebook{"mysql", s.DSN()})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		s := servertest.StartPostgres(t)
		exercise(t, s, sqlNotebook{"pgx", s.DSN()})
	})
}

// exercise shows that all that can be done to a server is done, and that what
// was written before outlives it.
func exercise(t *testing.T, s *servertest.Server, n notebook) {
	t.Helper()
	if err := n.write(t.Context(), "kept"); err != nil {
		t.Fatalf("write: %v", err)
	}
	expectWord(t, "at first", n)

	s.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if word, err := n.read(ctx); err == nil {
		t.Errorf("read = %q of a frozen server", word)
	}
	s.Thaw()
	expectWord(t, "after Thaw", n)

	s.Kill()
	expectRefused(t, "after Kill", s)
	s.Restart()
	expectWord(t, "after Kill and Restart", n)

	s.Stop()
	expectRefused(t, "after Stop", s)
	s.Restart()
	expectWord(t, "after Stop and Restart", n)
}

func expectWord(t *testing.T, when string, n notebook) {
	t.Helper()
	if word, err := n.read(t.Context()); err != nil || word != "kept" {
		t.Fatalf("read %s = %q, %v, want kept", when, word, err)
	}
}

func expectRefused(t *testing.T, when string, s *servertest.Server) {
	t.Helper()
	if _, err := net.Dial("tcp", s.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial %s = %v, want it refused", when, err)
	}
}

func TestRedisForgetsWithoutAppendOnly(t *testing.T) {
	s := servertest.StartRedis(t)
	n := redisNotebook{s.URL()}
	if err := n.write(t.Context(), "lost"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if word, err := n.read(t.Context()); !errors.Is(err, redis.Nil) {
		t.Errorf("read = %q, %v after Kill and Restart, want nothing", word, err)
	}
}

func TestPostgresLeavesNoSharedMemory(t *testing.T) {
	before := unusedSharedMemory(t)
	var killed map[string]bool
	t.Run("killed", func(t *testing.T) {
		servertest.StartPostgres(t).Kill()
		killed = unusedSharedMemory(t)
	})
	after := unusedSharedMemory(t)
	// Other tests may kill a PostgreSQL at the same time.
	for id := range killed {
		if !before[id] && !after[id] {
			return
		}
	}
	t.Errorf("System V segments before, killed and after: %v, %v, %v", before, killed, after)
}

// unusedSharedMemory returns the ids of the segments that no process uses.
func unusedSharedMemory(t *testing.T) map[string]bool {
	t.Helper()
	list, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	unused := make(map[string]bool)
	for line := range strings.Lines(string(list)) {
		// key shmid perms size cpid lpid nattch …
		if fields := strings.Fields(line); len(fields) > 6 && fields[6] == "0" {
			unused[fields[1]] = true
		}
	}
	return unused
}

func TestPostgresRunsUnprivileged(t *testing.T) {
	s := servertest.StartPostgres(t)
	var stat syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d", s.PID()), &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Uid == 0 {
		t.Errorf("PostgreSQL runs as user 0 (the test: %d)", os.Geteuid())
	}
}
