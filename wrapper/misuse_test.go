package wrapper_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMisuseDoesNotCompile: what makes no sense on one call, or on a client, is
// refused by the compiler, line by line.
func TestMisuseDoesNotCompile(t *testing.T) {
	want := wrongLines(t, filepath.Join("testdata", "misuse", "misuse.go"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-gcflags=-e", "./testdata/misuse").CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		t.Fatalf("go build: got %v, want it to fail:\n%s", err, out)
	}
	refused := make(map[int]string)
	for _, m := range regexp.MustCompile(`(?m)misuse\.go:(\d+):\d+: (.*)$`).FindAllStringSubmatch(string(out), -1) {
		line, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		refused[line] = m[2]
	}
	for line, code := range want {
		if got := refused[line]; !strings.Contains(got, "cannot use") {
			t.Errorf("line %d, %s: the compiler says %q, want that it cannot be used", line, code, got)
		}
		delete(refused, line)
	}
	for line, message := range refused {
		t.Errorf("line %d must compile: %s", line, message)
	}
}

// wrongLines returns the lines of a file that must not compile.
func wrongLines(t *testing.T, path string) map[int]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	wrong := make(map[int]string)
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		if code, ok := strings.CutSuffix(scanner.Text(), "// wrong"); ok {
			wrong[n] = strings.TrimSpace(code)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if len(wrong) == 0 {
		t.Fatalf("%s has no wrong line", path)
	}
	return wrong
}
