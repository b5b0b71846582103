// Package readme runs README.md as a stranger does: its programs are typed into a
// module of their own, built, started, and one instance is killed; its commands are
// typed into a shell.
package readme

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/oncemore-dev/oncemore/internal/consultest"
	"github.com/oncemore-dev/oncemore/internal/proctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// root is the folder of the root module.
const root = "../../.."

// patience bounds each program: it is far above what any takes on a busy machine.
const patience = 15 * time.Minute

// TestPrograms: the client's calls move on from an instance that was killed, and a
// payment, an order and a message that are repeated count once.
func TestPrograms(t *testing.T) {
	s := newStranger(t)
	first, second := s.serve(t, "first"), s.serve(t, "second")
	s.wantHello(t)
	s.want(t, "ledger", 0)
	for range 2 {
		s.do(t, "pay", "form-1")
	}
	s.want(t, "ledger", 1)
	first.Kill()
	s.wantHello(t)
	for range 2 {
		if story := s.do(t, "pay", "form-2"); !strings.Contains(story, "answered after") {
			t.Errorf("the story says %q", story)
		}
	}
	s.want(t, "ledger", 2)
	for range 2 {
		s.do(t, "order", "order-7")
	}
	s.want(t, "ledger", 5)
	first = s.serve(t, "first again")
	s.do(t, "publish", "dan")
	first.Stop() // which waits for what it handles
	second.Stop()
	s.want(t, "audit", 1)
}

// stranger has a module with README's programs, a registry, and a database.
type stranger struct {
	program, agent, dsn string
	db                  *sql.DB
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	s := &stranger{agent: consultest.Start(t).Address(), program: buildPrograms(t)}
	path := filepath.Join(t.TempDir(), "shop.db")
	s.dsn = path + "?_pragma=busy_timeout(30000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	var err error
	s.db, err = sql.Open("sqlite", s.dsn)
	must(t, err)
	t.Cleanup(func() { must(t, s.db.Close()) })
	for _, table := range []string{"ledger (student TEXT, amount_cents INTEGER)", "audit (student TEXT)"} {
		_, err := s.db.ExecContext(t.Context(), "CREATE TABLE "+table)
		must(t, err)
	}
	return s
}

// buildPrograms types README's blocks into a module, and builds it.
func buildPrograms(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	text := read(t, "testdata/main.go.txt")
	for name, block := range blocks(t) {
		marker := "{{" + name + "}}"
		if strings.Count(text, marker) != 1 {
			t.Fatalf("the program has not one place for the block %s", name)
		}
		text = strings.Replace(text, marker, block, 1)
	}
	// Where a reader would put what else the server has.
	text = strings.Replace(text, "return service.Run()",
		"if err := more(plugin, service, db); err != nil {\nreturn err\n}\nreturn service.Run()", 1)
	write(t, filepath.Join(dir, "main.go"), text)
	must(t, os.CopyFS(filepath.Join(dir, "hello"), os.DirFS(filepath.Join(root, "internal/fixture/hello"))))
	tree, err := filepath.Abs(root)
	must(t, err)
	module := strings.Replace(read(t, "../go.mod"), "=> ../../", "=> "+tree, 1)
	write(t, filepath.Join(dir, "go.mod"), regexp.MustCompile(`^module .*`).ReplaceAllString(module, "module example.com/shop"))
	write(t, filepath.Join(dir, "go.sum"), read(t, "../go.sum"))
	run(t, dir, nil, "go", "build", "-mod=mod", "-o", "shop", ".")
	return filepath.Join(dir, "shop")
}

// marks are what each Go block of README is known by.
var marks = map[string]string{
	"client": "hello.NewSayService", "server": "service.Run()", "handler": "func (Wallet) Tip", "report": "report.Story()",
	"steps": "idempotency.WithStep", "subscriber": "oncemore.Subscriber",
}

// programs are README and the documents that go on with its programs.
func programs(t *testing.T) string {
	t.Helper()
	return read(t, root+"/README.md") + read(t, root+"/docs/retries.md") + read(t, root+"/docs/once.md")
}

// blocks returns README's Go blocks by their names: each has one, and is used.
func blocks(t *testing.T) map[string]string {
	t.Helper()
	named := make(map[string]string)
	for _, found := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(programs(t), -1) {
		name := ""
		for n, mark := range marks {
			if strings.Contains(found[1], mark) {
				name = n
			}
		}
		if name == "" || named[name] != "" {
			t.Fatalf("README has a Go block that no program has a place for:\n%s", found[1])
		}
		named[name] = found[1]
	}
	if len(named) != len(marks) {
		t.Fatalf("README has only the Go blocks %v", named)
	}
	return named
}

func (s *stranger) env(program, key string) []string {
	return append(os.Environ(), "PROGRAM="+program, "KEY="+key, "DATABASE="+s.dsn,
		"MICRO_REGISTRY=consul", "MICRO_REGISTRY_ADDRESS="+s.agent, "MICRO_SERVER_ADDRESS=127.0.0.1:0",
		"MICRO_BROKER_ADDRESS=127.0.0.1:0")
}

// serve starts an instance of the server, and waits until it is registered.
func (s *stranger) serve(t *testing.T, name string) *proctest.Process {
	t.Helper()
	already := s.registered(t)
	for _, v := range s.env("serve", "")[len(os.Environ()):] {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
	return proctest.Start(t, proctest.Command{Name: name, Path: s.program, Ready: func(context.Context) error {
		if s.registered(t) == already {
			return fmt.Errorf("%s is not registered", name)
		}
		return nil
	}})
}

// registered counts the instances of the server in the registry, dead ones included.
func (s *stranger) registered(t *testing.T) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.agent+"/v1/catalog/service/hello-srv", nil)
	must(t, err)
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	must(t, err)
	defer answer.Body.Close()
	var nodes []json.RawMessage
	must(t, json.NewDecoder(answer.Body).Decode(&nodes))
	return len(nodes)
}

// do runs a client to its end, and returns what it says.
func (s *stranger) do(t *testing.T, program, key string) string {
	t.Helper()
	return run(t, "", s.env(program, key), s.program)
}

func (s *stranger) wantHello(t *testing.T) {
	t.Helper()
	for range 5 {
		if got := s.do(t, "hello", ""); !strings.Contains(got, "Hello xuxu") {
			t.Errorf("the client says %q", got)
		}
	}
}

func (s *stranger) count(t *testing.T, table string) (n int) {
	t.Helper()
	must(t, s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}

func (s *stranger) want(t *testing.T, table string, want int) {
	t.Helper()
	if got := s.count(t, table); got != want {
		t.Errorf("%d rows in %s, want %d", got, table, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// run runs a program to its end, and returns what it says.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Env = dir, env
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out.String())
	}
	return out.String()
}
