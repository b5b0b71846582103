package oncemore_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocsAreCompiled finds each Go block of README.md and docs, but for
// indentation, in the examples that the compiler has read.
func TestDocsAreCompiled(t *testing.T) {
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	compiled := flat(string(examples))
	for file, least := range map[string]int{"README.md": 4, "docs/money.md": 2} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		if len(blocks) < least {
			t.Errorf("%d Go blocks in %s", len(blocks), file)
		}
		for _, block := range blocks {
			if !strings.Contains(compiled, flat(block[1])) {
				t.Errorf("%s has what is not in example_test.go:\n%s", file, block[1])
			}
		}
	}
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
