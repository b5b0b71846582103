// Package logtest has a log that tests read.
package logtest

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Text is what was logged so far. The zero value is empty, and safe for
// concurrent use.
type Text struct {
	mu   sync.Mutex
	text strings.Builder
}

// Logger returns a logger that writes to the text, a line each time.
func (t *Text) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(t, nil)) }

// Write adds to the text.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String returns the text.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// Count returns how often something stands in the text.
func (t *Text) Count(something string) int { return strings.Count(t.String(), something) }

// Default has the default logger write to the text that it returns, until the test
// ends. Such a test must not run beside others.
func Default(tb testing.TB) *Text {
	tb.Helper()
	text, before := new(Text), slog.Default()
	slog.SetDefault(text.Logger())
	tb.Cleanup(func() { slog.SetDefault(before) })
	return text
}
