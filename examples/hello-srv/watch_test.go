package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/oncemore-dev/oncemore/examples/internal/setting"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
)

// TestTracesAlone: they need no address for metrics.
func TestTracesAlone(t *testing.T) {
	store, err := memstore.New()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "spans")
	from := func(path string) func(string) string {
		return func(name string) string { return map[string]string{"TRACES": path}[name] }
	}
	observed, stop, err := watch(from(path), store, nil)
	if err != nil || observed == nil {
		t.Fatalf("%v, %v", observed, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	_, _, err = watch(from(filepath.Dir(path)), store, nil)
	if _, notAllowed := errors.AsType[*setting.Error](err); !notAllowed {
		t.Errorf("a folder: %v", err)
	}
}
