package oncemore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPublicPackageHasAnExample that is compiled with its tests.
func TestEveryPublicPackageHasAnExample(t *testing.T) {
	packages := 0
	must(t, filepath.WalkDir(".", func(folder string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if folder != "." && isPrivate(folder, d.Name()) {
			return filepath.SkipDir
		}
		sources, examples := lookInto(t, folder)
		if sources == 0 {
			return nil
		}
		if packages++; examples == 0 {
			t.Errorf("%s has no Example", folder)
		}
		return nil
	}))
	if packages < 10 {
		t.Errorf("only %d packages were found", packages)
	}
}

// isPrivate tells whether users cannot import what is in a folder, or do not with this
// module.
func isPrivate(folder, name string) bool {
	if name == "internal" || name == "testdata" || strings.HasPrefix(name, ".") {
		return true
	}
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

// lookInto counts the sources of a folder's package, and the Examples of its tests.
func lookInto(t *testing.T, folder string) (sources, examples int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	must(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			sources++
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example") {
				examples++
			}
		}
	}
	return sources, examples
}
