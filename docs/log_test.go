package docs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLogTextsAreListed: what the log can say is listed, and nothing else is.
func TestLogTextsAreListed(t *testing.T) {
	source, err := os.ReadFile("../idempotency/log.go")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, pattern := range []string{
		`logEntry\{slog\.Level\w+, "([^"]+)"`, `byOperator\(e, "([^"]+)"`, `byOperator\(e, "[^"]+", "([^"]+)"`,
		`const text = "idempotency: ([^"]+)"`,
	} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(found) == 0 {
			t.Errorf("the source has nothing like %s", pattern)
		}
		for _, match := range found {
			said = append(said, match[1])
		}
	}
	var listed []string
	for _, row := range table(t, "log.md", "What to do") {
		listed = append(listed, strings.Trim(row[0], "`"))
	}
	for _, text := range said {
		if !slices.Contains(listed, text) {
			t.Errorf("the log can say %q, which is not listed", text)
		}
	}
	for _, text := range listed {
		if !slices.Contains(said, text) {
			t.Errorf("%q is listed, and the log never says it", text)
		}
	}
}
