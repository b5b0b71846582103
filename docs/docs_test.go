// Package docs checks what the documents say against the code.
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
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/internal/leak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(leak.GoMicro(), leak.Hystrix()...)...)
}

// table returns the rows of the tables in a document whose last column has the
// heading, as their cells.
func table(t *testing.T, file, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	within := false
	for line := range strings.Lines(string(text)) {
		cells := cellsOf(line)
		switch {
		case len(cells) == 0:
			within = false
		case cells[len(cells)-1] == heading:
			within = true
		case within && strings.Trim(strings.Join(cells, ""), "-:") != "":
			rows = append(rows, cells)
		}
	}
	return rows
}

func cellsOf(line string) []string {
	line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil
	}
	cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(cell)
	}
	return cells
}

// code finds what a document sets in backquotes.
var code = regexp.MustCompile("`([^`]+)`")

// reference is how a document names a test: package.Function, then subtests.
var reference = regexp.MustCompile(`^([a-z0-9]+)\.((?:Test|Fuzz|Run)\w*)((?:/[^/]+)*)$`)

// TestStateMachineNamesTests: each interleaving names at least one test, and
// each test that it names exists.
func TestStateMachineNamesTests(t *testing.T) {
	known := readTests(t)
	rows := table(t, "state_machine.md", "Test")
	if len(rows) < 40 {
		t.Errorf("there are only %d interleavings", len(rows))
	}
	for _, row := range rows {
		if len(row) != 5 {
			t.Errorf("%q has %d columns", row[0], len(row))
		}
		names := code.FindAllStringSubmatch(row[len(row)-1], -1)
		if len(names) == 0 {
			t.Errorf("%q names no test", row[0])
		}
		for _, name := range names {
			if problem := known.check(name[1]); problem != "" {
				t.Errorf("%q: %s %s", row[0], name[1], problem)
			}
		}
	}
}

// TestCheckKnowsWhatIsMissing shows that the check can fail.
func TestCheckKnowsWhatIsMissing(t *testing.T) {
	known := readTests(t)
	for name, ok := range map[string]bool{
		"docs.TestCheckKnowsWhatIsMissing":       true,
		"memstore.TestConformance/Guard/Rerun":   true,
		"storetest.Run/Guard/Rerun":              true,
		"idempotency.TestJoin/*/three processes": true,
		"docs.TestOfNothing":                     false,
		"nowhere.TestConformance":                false,
		"idempotency.TestJoin/no such test":      false,
		"TestJoin":                               false,
	} {
		if problem := known.check(name); (problem == "") != ok {
			t.Errorf("%s: %q", name, problem)
		}
	}
}

// tests knows, by package, the functions and the string literals of its tests.
type tests struct {
	functions, literals map[string]map[string]bool
}

// check says what is wrong with the name of a test, or nothing. A subtest need
// only be a literal of its package, or of the conformance suite; * is any.
func (k *tests) check(name string) (problem string) {
	match := reference.FindStringSubmatch(name)
	if match == nil {
		return "is not the name of a test"
	}
	pkg, function := match[1], match[2]
	if !k.functions[pkg][function] {
		return "does not exist"
	}
	subtests := strings.Split(match[3], "/")[1:]
	for _, subtest := range subtests {
		if subtest != "*" && !k.literals[pkg][subtest] && !k.literals[suite][subtest] {
			return "has no subtest " + subtest
		}
	}
	return ""
}

// suite is the package whose Run is a test of each store.
const suite = "storetest"

func readTests(t *testing.T) *tests {
	t.Helper()
	k := &tests{functions: make(map[string]map[string]bool), literals: make(map[string]map[string]bool)}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return skipHidden(entry)
		case strings.HasSuffix(path, "_test.go"), strings.HasPrefix(filepath.ToSlash(path), "../idempotency/"+suite+"/"):
			return k.read(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func skipHidden(entry fs.DirEntry) error {
	hidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".."
	if hidden || slices.Contains([]string{"bin", "tools", "testdata"}, entry.Name()) {
		return filepath.SkipDir
	}
	return nil
}

func (k *tests) read(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := strings.TrimSuffix(file.Name.Name, "_test")
	if k.functions[pkg] == nil {
		k.functions[pkg], k.literals[pkg] = make(map[string]bool), make(map[string]bool)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil {
				k.functions[pkg][n.Name.Name] = true
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				k.literals[pkg][text] = true
			}
		}
		return true
	})
	return nil
}
