package adopt

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// root is the folder of the root module.
const root = "../../.."

// version is what is published. It is no more than a name: what it stands for is
// the working tree.
const version = "v0.0.0"

// publish makes a module proxy of files, with each module of the working tree
// that has users, and returns its URL.
func publish(t *testing.T) (url string) {
	t.Helper()
	proxy := t.TempDir()
	for _, dir := range published(t) {
		publishModule(t, proxy, filepath.Join(root, dir))
	}
	return "file://" + filepath.ToSlash(proxy)
}

// published returns the folders of the modules that have users: not what only
// this repository runs.
func published(t *testing.T) (dirs []string) {
	t.Helper()
	own := map[string]bool{"bench": true, "examples": true, "internal": true, "tools": true, "bin": true}
	walk(t, root, func(path string, entry fs.DirEntry) bool {
		if entry.Name() == "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return !entry.IsDir() || !own[path]
	})
	return dirs
}

// publishModule adds a module to the proxy, as the protocol of "go help
// goproxy" has it.
func publishModule(t *testing.T, proxy, dir string) {
	t.Helper()
	text := read(t, filepath.Join(dir, "go.mod"))
	name := module.Version{Path: modfile.ModulePath(text), Version: version}
	escaped, err := module.EscapePath(name.Path)
	if err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(into, 0o750); err != nil {
		t.Fatal(err)
	}
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, version, time.Now().UTC().Format(time.RFC3339))
	for file, content := range map[string][]byte{
		"list": []byte(version + "\n"), version + ".info": []byte(info), version + ".mod": text,
	} {
		if err := os.WriteFile(filepath.Join(into, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := os.Create(filepath.Join(into, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := zip.Create(archive, name, files(t, dir)); err != nil {
		t.Fatalf("zip %s: %v", name, err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}

// files returns the files of the module in dir, without those of nested ones.
func files(t *testing.T, dir string) (list []zip.File) {
	t.Helper()
	walk(t, dir, func(path string, entry fs.DirEntry) bool {
		if !entry.IsDir() {
			if entry.Type().IsRegular() {
				list = append(list, file{dir, path})
			}
			return true
		}
		if path == "bin" { // where make builds the examples
			return false
		}
		_, err := os.Stat(filepath.Join(dir, path, "go.mod"))
		return err != nil
	})
	return list
}

// walk visits what lies below dir, without what is hidden, and without what is
// in the folders of which visit returns false.
func walk(t *testing.T, dir string, visit func(path string, entry fs.DirEntry) bool) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") || !visit(path, entry)):
			return fs.SkipDir
		case !entry.IsDir():
			visit(path, entry)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// file is a file of a module, by its slash-separated path in it.
type file struct{ dir, path string }

func (f file) Path() string                 { return f.path }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.dir, f.path)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.path)) }

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
