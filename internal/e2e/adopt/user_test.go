package adopt

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
)

// user is a module of somebody else's.
type user struct {
	dir string
	env []string
}

// newUser starts a module that requires nothing yet.
func newUser(t *testing.T, env []string) *user {
	t.Helper()
	u := &user{dir: t.TempDir(), env: env}
	u.run(t, "mod", "init", "example.com/user")
	return u
}

// add adds the files of a folder of testdata.
func (u *user) add(t *testing.T, folder string) {
	t.Helper()
	if err := os.CopyFS(u.dir, os.DirFS(filepath.Join("testdata", folder))); err != nil {
		t.Fatal(err)
	}
}

// require writes requirements into go.mod, as by hand.
func (u *user) require(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		u.run(t, "mod", "edit", "-require="+path+"@"+versionOf(t, path))
	}
}

// modules returns the paths of the modules in the graph.
func (u *user) modules(t *testing.T) []string {
	t.Helper()
	return strings.Fields(u.run(t, "list", "-m", "-f", "{{.Path}}", "all"))
}

// built returns the paths of the modules that are in the program.
func (u *user) built(t *testing.T) map[string]bool {
	t.Helper()
	built := make(map[string]bool)
	for path := range strings.FieldsSeq(u.run(t, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		built[path] = true
	}
	return built
}

// sums returns the number of lines of go.sum.
func (u *user) sums(t *testing.T) int {
	t.Helper()
	return bytes.Count(read(t, filepath.Join(u.dir, "go.sum")), []byte("\n"))
}

// run runs the go command in the module and returns what it prints, or fails
// the test with what it complains of.
func (u *user) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = u.dir, u.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(output)
}

// versionOf returns the version of a module: of our own the one that was
// published, of others the newest that this repository is tested with.
func versionOf(t *testing.T, path string) string {
	t.Helper()
	if path == own {
		return version
	}
	for _, name := range []string{"internal/e2e/go.mod", "examples/go.mod", "go.mod"} {
		parsed, err := modfile.Parse(name, read(t, filepath.Join(root, name)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range parsed.Require {
			if r.Mod.Path == path {
				return r.Mod.Version
			}
		}
	}
	t.Fatalf("no go.mod requires %s", path)
	return ""
}
