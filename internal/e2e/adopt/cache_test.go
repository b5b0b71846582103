package adopt

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"
)

// newCache makes a module cache in which our own modules are the test's, and
// all others are the machine's. Nothing stays that could be taken for a later
// working tree.
func newCache(t *testing.T, machine string) string {
	t.Helper()
	cache, owner := t.TempDir(), path.Dir(own)
	host := path.Dir(owner)
	for _, dir := range []string{
		".", "cache", "cache/download", host, "cache/download/" + host, owner, "cache/download/" + owner,
	} {
		if err := os.MkdirAll(filepath.Join(cache, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{".", "cache", "cache/download", host, "cache/download/" + host} {
		link(t, filepath.Join(machine, dir), filepath.Join(cache, dir))
	}
	t.Cleanup(func() { makeRemovable(t, cache) })
	return cache
}

// link links what is in a folder and not yet in the other.
func link(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		err := os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

// makeRemovable undoes the protection of the modules in a cache.
func makeRemovable(t *testing.T, cache string) {
	t.Helper()
	err := filepath.WalkDir(cache, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
