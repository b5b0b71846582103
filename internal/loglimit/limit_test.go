package loglimit

import (
	"testing"
	"time"
)

// TestLimit: ten lines of each text in a window, and the first of the next one tells
// how many were left out.
func TestLimit(t *testing.T) {
	var limit Limit
	now := time.Unix(1000, 0)
	written := 0
	for range 25 {
		if _, ok := limit.Allow("down", now); ok {
			written++
		}
	}
	if written != 10 {
		t.Errorf("wrote %d lines, want 10", written)
	}
	if leftOut, ok := limit.Allow("other", now); !ok || leftOut != 0 {
		t.Errorf("another text: got %d and %t, want 0 and true", leftOut, ok)
	}
	if leftOut, ok := limit.Allow("down", now.Add(10*time.Second)); !ok || leftOut != 15 {
		t.Errorf("the next window: got %d and %t, want 15 and true", leftOut, ok)
	}
}
