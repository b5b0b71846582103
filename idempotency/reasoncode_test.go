package idempotency

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestEveryReasonHasACode of its own, so that none is counted as another.
func TestEveryReasonHasACode(t *testing.T) {
	reasons := []error{
		ErrMismatch, ErrRunning, ErrWaitTimeout, ErrOutcomeUnknown, ErrLeaseLost, ErrExecutionTimeout, ErrExpired,
		ErrSuperseded, ErrUnavailable, ErrRolledBack, ErrNotCommitted, ErrCommitUnknown, ErrCanceled, ErrDraining,
		ErrNoReply, ErrNotExecuted, ErrForeignKey, ErrCorrupt,
	}
	if declared := reasonsDeclared(t); declared != len(reasons) {
		t.Errorf("%d reasons are declared, and %d tested", declared, len(reasons))
	}
	seen := map[string]error{}
	for _, reason := range reasons {
		code := ReasonCode(refusal(reason, errors.New("the cause")))
		if other, taken := seen[code]; taken || code == "other" {
			t.Errorf("%v has the code %q, want one of its own (%v)", reason, code, other)
		}
		seen[code] = reason
	}
	_, badKey := ParseKey("not a key")
	for want, err := range map[string]error{"": nil, "other": errors.New("x"), "key": badKey} {
		if got := ReasonCode(err); got != want {
			t.Errorf("code of %v: got %q, want %q", err, got, want)
		}
	}
}

// reasonsDeclared counts the reasons in the source.
func reasonsDeclared(t *testing.T) (n int) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Err") {
			n++
		}
		return true
	})
	return n
}
