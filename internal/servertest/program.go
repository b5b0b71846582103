//go:build linux

package servertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// program returns the path of an installed program, looked for in $PATH and
// where Debian puts servers, or fails the test.
func program(tb testing.TB, name string) string {
	tb.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	tb.Fatalf("servertest: %s is not installed; run: make deps", name)
	return ""
}

// postgresBin returns the folder of PostgreSQL's programs: Debian's newest,
// else that of the postgres in $PATH.
func postgresBin(tb testing.TB) string {
	tb.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		tb.Fatal(err)
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
	}
	path, err := filepath.EvalSymlinks(program(tb, "postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Dir(path)
}

// version is the 15 of /usr/lib/postgresql/15/bin/postgres; names that are not
// numbers come first.
func version(path string) int {
	v, err := strconv.Atoi(strings.Split(path, "/")[4])
	if err != nil {
		return -1
	}
	return v
}

// run executes a program that ends by itself, such as one that prepares a data
// folder, or fails the test with its output.
func run(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if output, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("servertest: %v: %v\n%s", cmd.Args, err, output)
	}
}
