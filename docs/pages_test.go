package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are all documents that people read, from the root of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil || len(found) < 10 {
		t.Fatalf("%d pages, error %v", len(found), err)
	}
	return append(found, "../README.md", "../SECURITY.md", "../CONTRIBUTING.md")
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestIndexListsEveryPage, and nothing that is not there.
func TestIndexListsEveryPage(t *testing.T) {
	index := read(t, "README.md")
	for _, page := range pages(t) {
		if !strings.Contains(page, "/") && page != "README.md" && !strings.Contains(index, "]("+page+")") {
			t.Errorf("the index has no %s", page)
		}
	}
}

// TestLinksLeadSomewhere: to files of the repository, and to headings of theirs.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, heading, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(page), target)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if heading != "" && !slices.Contains(anchors(read(t, file)), heading) {
				t.Errorf("%s: %s has no heading %s", page, target, heading)
			}
		}
	}
}

// anchors are the headings of a page, as links name them.
func anchors(text string) (names []string) {
	drop := regexp.MustCompile(`[^a-z0-9 -]`)
	for line := range strings.Lines(text) {
		if title := strings.TrimLeft(line, "#"); title != line {
			name := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			names = append(names, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return names
}

// others are names of packages that are called as ours are.
var others = []string{
	"hystrix.DoC", "hystrix.NewClientWrapper", "hystrix.DefaultTimeout", "hystrix.DefaultMaxConcurrent",
	"hystrix.DefaultErrorPercentThreshold", "hystrix.DefaultSleepWindow",
}

// TestNamesExist: what a page says of a package is there, and so is each benchmark.
func TestNamesExist(t *testing.T) {
	exported, benchmarks := declared(t)
	name := regexp.MustCompile("`(?:idempotency/)?([a-z]+)\\.([A-Z]\\w*)")
	benchmark := regexp.MustCompile("`(Benchmark\\w+)`")
	seen := 0
	for _, page := range pages(t) {
		text := read(t, page)
		for _, found := range name.FindAllStringSubmatch(text, -1) {
			if names, ours := exported[found[1]]; ours {
				seen++
				if !names[found[2]] && !slices.Contains(others, found[1]+"."+found[2]) {
					t.Errorf("%s: there is no %s.%s", page, found[1], found[2])
				}
			}
		}
		for _, found := range benchmark.FindAllStringSubmatch(text, -1) {
			if !benchmarks[found[1]] {
				t.Errorf("%s: there is no %s", page, found[1])
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d names were looked at", seen)
	}
}

// TestCommandsRunSomething: each test that a page tells to run is there.
func TestCommandsRunSomething(t *testing.T) {
	var tests []string
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, found := range declaration.FindAllStringSubmatch(read(t, path), -1) {
			tests = append(tests, found[1])
		}
		return nil
	})
	if err != nil || len(tests) < 100 {
		t.Fatalf("%d tests, error %v", len(tests), err)
	}
	command := regexp.MustCompile(`-run '?([\w|/]+)`)
	seen := 0
	for _, page := range pages(t) {
		for _, found := range command.FindAllStringSubmatch(read(t, page), -1) {
			for name := range strings.SplitSeq(found[1], "|") {
				seen++
				name, _, _ = strings.Cut(name, "/")
				if !slices.ContainsFunc(tests, func(test string) bool { return strings.Contains(test, name) }) {
					t.Errorf("%s: no test is called %s", page, name)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d commands were looked at", seen)
	}
}

// declared are the exported names of each package, and the benchmarks of all.
func declared(t *testing.T) (exported map[string]map[string]bool, benchmarks map[string]bool) {
	t.Helper()
	exported, benchmarks = make(map[string]map[string]bool), make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2 || entry.Name() == "examples"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := strings.TrimSuffix(file.Name.Name, "_test")
		if exported[pkg] == nil {
			exported[pkg] = make(map[string]bool)
		}
		for _, d := range file.Decls {
			for _, name := range namesOf(d) {
				exported[pkg][name] = true
				benchmarks[name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return exported, benchmarks
}

func namesOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// TestCommandsOfMakeExist: each target that a page has somebody make is there.
func TestCommandsOfMakeExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	command := regexp.MustCompile("(?:^|[`\n])make ([a-z-]+)")
	seen := 0
	for _, page := range pages(t) {
		for _, found := range command.FindAllStringSubmatch(read(t, page), -1) {
			seen++
			if !strings.Contains(makefile, "\n"+found[1]+":") {
				t.Errorf("%s: there is no make %s", page, found[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were looked at", seen)
	}
}
