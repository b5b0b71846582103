//go:build linux

package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

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

// sqlNotebook is a database's own client, up to the option that takes the query.
type sqlNotebook []string

func (n sqlNotebook) query(ctx context.Context, query string) (string, error) {
	cmd := exec.CommandContext(ctx, n[0], append(n[1:len(n):len(n)], query)...)
	output, err := cmd.Output()
	return strings.TrimSpace(string(output)), err
}

func (n sqlNotebook) write(ctx context.Context, word string) error {
	_, errCreate := n.query(ctx, "CREATE TABLE notebook (word VARCHAR(20))")
	_, errInsert := n.query(ctx, "INSERT INTO notebook VALUES ('"+word+"')")
	return errors.Join(errCreate, errInsert)
}

func (n sqlNotebook) read(ctx context.Context) (string, error) {
	return n.query(ctx, "SELECT word FROM notebook")
}

func mariadbNotebook(t *testing.T, s *servertest.Server) sqlNotebook {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	return sqlNotebook{
		"mariadb", "--no-defaults", "--host=" + host, "--port=" + port, "--user=root", "--database=oncemore",
		"--skip-column-names", "--batch", "-e",
	}
}

func TestServer(t *testing.T) {
	t.Run("Redis", func(t *testing.T) {
		s := servertest.StartRedis(t, "--appendonly", "yes")
		exercise(t, s, redisNotebook{s.URL()})
	})
	t.Run("MariaDB", func(t *testing.T) {
		s := servertest.StartMariaDB(t)
		exercise(t, s, mariadbNotebook(t, s))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		s := servertest.StartPostgres(t)
		exercise(t, s, sqlNotebook{"psql", s.URL(), "--no-psqlrc", "--tuples-only", "--no-align", "-c"})
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
