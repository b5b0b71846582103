// Package adopt shows what becomes of the module graph of those who adopt
// oncemore: the working tree is published to a module proxy of files, and
// services are made that require it from there.
package adopt

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// own is the path of the root module.
const own = "github.com/oncemore-dev/oncemore"

// What the stock service may come to that adopts the plugin: modules in its
// graph (go list -m all) and lines in its go.sum. Without the plugin they are 97
// and 162.
const (
	maxModules = 140
	maxSums    = 205
)

// required are the modules that a service requires by name for the files of a
// folder in testdata. The proxy need not list the versions of go-micro's
// plugins, of which go mod tidy could not find the newest.
var required = map[string][]string{
	"service":   {"go-micro.dev/v4"},
	"client":    {own},
	"guards":    {own},
	"plaingrpc": {"google.golang.org/grpc"},
	"grpc":      {"github.com/go-micro/plugins/v4/client/grpc", "github.com/go-micro/plugins/v4/server/grpc"},
	"consul":    {"github.com/go-micro/plugins/v4/registry/consul", "github.com/hashicorp/consul/api"},
	"sqlite":    {"modernc.org/sqlite"},
	"postgres":  {"github.com/jackc/pgx/v5"},
	"mysql":     {"github.com/go-sql-driver/mysql"},
	"gin":       {"github.com/gin-gonic/gin"},
}

// unasked are what the paths of modules begin with that must not be in
// the graph of a program that is not made of them.
var unasked = []string{
	"cloud.google.com/go/bigquery", "github.com/gin-gonic/gin", "github.com/go-sql-driver/mysql", "github.com/jackc/pgx/",
	"modernc.org/sqlite",
}

// TestAdopt tidies and builds services of each kind, step by step: each step
// adds files, and their requirements by hand.
func TestAdopt(t *testing.T) {
	env := environment(t, publish(t))
	for _, test := range []struct {
		name  string
		steps [][]string
	}{
		{"client only", [][]string{{"service", "client"}}},
		{"server, memstore", [][]string{{"service", "client", "memstore"}}},
		{"server, redisstore", [][]string{{"service", "client", "redisstore"}}},
		{"server, sqlstore on SQLite", [][]string{{"service", "client", "sqlstore", "sqlite"}}},
		{"server, sqlstore on PostgreSQL", [][]string{{"service", "client", "sqlstore", "postgres"}}},
		{"server, sqlstore on MySQL", [][]string{{"service", "client", "sqlstore", "mysql"}}},
		{"grpc before", [][]string{{"service", "grpc"}, {"client"}}},
		{"grpc after", [][]string{{"service", "client"}, {"grpc"}}},
		{"grpc and Google's common types before", [][]string{{"service", "grpc", "genproto"}, {"client"}}},
		{"plain grpc-go and net/http", [][]string{{"plaingrpc"}, {"guards"}}},
		{"everything", [][]string{{
			"service", "client", "guards", "memstore", "redisstore", "sqlstore", "sqlite", "postgres", "mysql", "grpc", "consul", "gin",
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newUser(t, env)
			for _, step := range test.steps {
				u.take(t, step)
			}
		})
	}
}

// take adds files to a service, tidies and builds it.
func (u *user) take(t *testing.T, folders []string) {
	t.Helper()
	for _, folder := range folders {
		u.add(t, folder)
		u.require(t, required[folder]...)
	}
	u.run(t, "mod", "tidy")
	u.run(t, "build", "-o", os.DevNull, ".")
	modules, sums := u.modules(t), u.sums(t)
	t.Logf("%v: %d modules, %d lines in go.sum", folders, len(modules), sums)
	if !slices.Contains(modules, own) {
		return
	}
	built := u.built(t)
	for _, module := range modules {
		for _, prefix := range unasked {
			if strings.HasPrefix(module, prefix) && !built[module] {
				t.Errorf("%v: %s is in the graph, and not in the program", folders, module)
			}
		}
	}
}

// TestStock counts what a stock service comes to that adopts the plugin.
func TestStock(t *testing.T) {
	u := newUser(t, environment(t, publish(t)))
	u.take(t, []string{"service"})
	u.take(t, []string{"client"})
	if got := len(u.modules(t)); got > maxModules {
		t.Errorf("%d modules in the graph, want at most %d", got, maxModules)
	}
	if got := u.sums(t); got > maxSums {
		t.Errorf("%d lines in go.sum, want at most %d", got, maxSums)
	}
}

// TestGet adopts the plugin with go get alone, and does not tidy.
func TestGet(t *testing.T) {
	u := newUser(t, environment(t, publish(t)))
	u.take(t, []string{"service", "grpc"})
	u.run(t, "get", own+"@"+version)
	u.add(t, "client")
	u.run(t, "build", "-o", os.DevNull, ".")
}

// environment is that of a developer who gets our modules from the proxy, and
// the others from where the machine does.
func environment(t *testing.T, proxy string) []string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, proxies, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return append(os.Environ(),
		"GOPROXY="+proxy+","+proxies, "GOMODCACHE="+newCache(t, cache), "GOFLAGS=-trimpath -buildvcs=false",
		"GONOSUMDB="+own, "GONOPROXY=none", "GOPRIVATE=", "GOWORK=off",
	)
}
