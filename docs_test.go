package oncemore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsAreCompiled finds each Go block of README.md and docs, but for
// indentation, in what the compiler has read.
func TestDocsAreCompiled(t *testing.T) {
	compiled := flat(read(t, "example_test.go")) + flat(read(t, "docs/snippets_test.go")) + flat(read(t, "telemetry/example_test.go"))
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(pages, "README.md") {
		for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, file), -1) {
			seen++
			if !strings.Contains(compiled, flat(block[1])) {
				t.Errorf("%s has what is in none of example_test.go, docs/snippets_test.go and telemetry/example_test.go:\n%s", file, block[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d Go blocks were found", seen)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flat leaves out the indentation and the empty lines.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
