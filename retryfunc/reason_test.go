package retryfunc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonTeaches: each has a text that says more than a word, and a code of its
// own.
func TestEveryReasonTeaches(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "decision.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		name, text := spec.Names[0].Name, textOf(t, spec.Values[0])
		if len(strings.Fields(text)) < 2 {
			t.Errorf("%s is %q, want words that say why", name, text)
		}
		code := Reason(text).Code()
		if other, taken := codes[code]; taken || code == "other" || code == "" {
			t.Errorf("%s has the code %q, want one of its own (%s)", name, code, other)
		}
		codes[code] = name
		return true
	})
	if len(codes) < 20 {
		t.Errorf("found %d reasons, want all", len(codes))
	}
	if got := Reason("").Code() + "/" + Reason("made up").Code(); got != "/other" {
		t.Errorf("codes of what is no reason: got %q, want /other", got)
	}
}

func textOf(t *testing.T, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return text
	case *ast.BinaryExpr:
		return textOf(t, e.X) + textOf(t, e.Y)
	default:
		t.Fatalf("a reason is a %T, want a text", e)
		return ""
	}
}
