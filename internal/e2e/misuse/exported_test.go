package misuse

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// harmless is what no value can be wrong of, or what is no configuration, and why.
var harmless = map[string]string{
	"oncemore.WithOwnSelector": noValue,
	"oncemore.Subscriber":      "what is wrong is wrapper.Subscriber's, and an error when the service starts",

	"wrapper.WithTrustedKeys":  noValue,
	"wrapper.WithoutRetry":     noValue,
	"wrapper.WithoutHedge":     noValue,
	"wrapper.WithHedgedWrites": noValue,
	"wrapper.WithLogger":       "nil is no log",
	"wrapper.WithReport":       ofOneCall,

	"idempotency.WithHashesOnly": noValue,
	"idempotency.WithLogger":     "nil is no log",
	"idempotency.WithOrigin":     "nil is no origin",
	"idempotency.TakeoverHold":   noValue,
	"idempotency.TakeoverRerun":  noValue,
	"idempotency.WithKey":        ofOneCall + ", which ends in a KeyError",
	"idempotency.WithIssued":     ofOneCall,
	"idempotency.WithStep":       ofOneCall,
	"idempotency.WithExecution":  ofOneCall,
	"idempotency.FingerprintOf":  "takes a body, and no configuration",
	"idempotency.DecodeRecord":   "takes what a store has kept",
	"idempotency.ParseIssued":    ofOneCall,
	"httpguard.WithOptional":     noValue,
	"httpkey.WithOptional":       noValue,
	"httpkey.Parse":              ofOneCall,
	"redisstore.WithEviction":    noValue,
	"sqlstore.WithDetached":      noValue,
	"sqlstore.WithMigrate":       noValue,
	"selectorx.WithBalancer":     "nil ejects nothing",
	"selectorx.WithFlatStrategy": "nil is by balance",
	"selectorx.WithReporter":     "nil reports to nobody",
	"selectorx.WithRetriable":    noValue,
	"hystrix.WithDashboard":      noValue,
	"retryfunc.HTTPRule":         noValue,
	"retryfunc.ProtoRule":        noValue,
	"retryfunc.WithAttempt":      ofOneCall,
	"retryfunc.Explain":          ofOneCall,
	"retryfunc.ParseSafety":      "takes what an instance has announced",
}

const (
	noValue   = "takes no value that could be wrong"
	ofOneCall = "says something about one call"
)

// TestEveryOptionIsGivenAWrongValue: whoever adds an option adds a wrong value, or says
// why there is none.
func TestEveryOptionIsGivenAWrongValue(t *testing.T) {
	tried := make(map[string]int)
	for _, w := range table() {
		tried[w.of]++
	}
	found := configuration(t)
	for _, name := range found {
		switch reason, listed := harmless[name]; {
		case tried[name] == 0 && !listed:
			t.Errorf("%s is given no wrong value: add one to the table, or say in harmless why there is none", name)
		case tried[name] > 0 && listed:
			t.Errorf("%s is given a wrong value, and is said to have none: %s", name, reason)
		}
	}
	for name := range harmless {
		if !slices.Contains(found, name) {
			t.Errorf("%s is said to be harmless, and does not exist", name)
		}
	}
	for name := range tried {
		if !slices.Contains(found, name) && name != "retryfunc.Limit" { // a method of Budget
			t.Errorf("%s is given a wrong value, and is not found among what is exported", name)
		}
	}
	t.Logf("%d options and constructors, %d wrong values", len(found), len(table()))
}

// configuration names what the public packages export to configure them: what is called
// With…, what returns an option, a policy, a rule or a takeover, and what returns
// something or an error.
func configuration(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range publicFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		must(t, err)
		if parsed.Name.Name == "main" {
			continue
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && f.Name.IsExported() && configures(f) {
				names = append(names, parsed.Name.Name+"."+f.Name.Name)
			}
		}
	}
	if len(names) < 100 {
		t.Fatalf("only %d options were found: %q", len(names), names)
	}
	return names
}

// publicFiles are the sources of the packages that a user may import.
func publicFiles(t *testing.T) (files []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && isPrivate(path, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return nil
	}))
	return files
}

// isPrivate tells whether a folder is none of the packages that are configured: storetest is
// given what it tests, and no options.
func isPrivate(path, name string) bool {
	if name == "internal" || name == "testdata" || name == "docs" || name == "storetest" || strings.HasPrefix(name, ".") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

func configures(f *ast.FuncDecl) bool {
	results := f.Type.Results
	if results == nil || f.Type.Params.NumFields() == 0 && results.NumFields() > 1 {
		return false
	}
	first := typeName(results.List[0].Type)
	if strings.HasPrefix(f.Name.Name, "With") || slices.Contains([]string{"Rule", "RetryFunc", "Takeover", "Subscription"}, first) ||
		strings.HasSuffix(first, "Option") {
		return true
	}
	last := typeName(results.List[len(results.List)-1].Type)
	return last == "error" && results.NumFields() == 2 && !slices.Contains([]string{"string", "bool", "int64"}, first)
}

// typeName is the last word of a type's name.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.ArrayType:
		return "[]" + typeName(e.Elt)
	}
	return ""
}
