package wrapper_test

import (
	"errors"
	"strings"
	"testing"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// remote is an error as the mucp client returns it for what a handler answered:
// nothing but its text.
type remote string

func (e remote) Error() string { return string(e) }

func TestErrorTellsTheStoryAndStaysTheSame(t *testing.T) {
	last := merrors.BadRequest("bank", "amount must be positive")
	tests := map[string]error{
		"go-micro error": last,
		"only its text":  remote(last.Error()),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{answers: []error{errRefused, answer}}
			c := newWire(t, nodes("a", "b"), wire.wire)
			_, report, err := call(t.Context(), c, write)
			if err == nil || err.Error() != last.Error() {
				t.Fatalf("text %v, want %v", err, last)
			}
			var e *wrapper.CallError
			if !errors.As(err, &e) || len(e.Attempts) != 2 || e.Key != report.Key || e.Key == "" {
				t.Fatalf("story %+v", e)
			}
			if e.Attempts[0].Class != retryfunc.NotSent || e.Attempts[1].Class != retryfunc.Application || e.Class() != retryfunc.Application {
				t.Errorf("classes: %v", e.Attempts)
			}
			if !errors.Is(err, answer) {
				t.Error("the original error is not in the chain")
			}
			var m *merrors.Error
			if !errors.As(err, &m) || m.Id != "bank" || m.Code != 400 || m.Detail != "amount must be positive" {
				t.Errorf("as a go-micro error: %+v", m)
			}
			if p := merrors.FromError(err); p.Code != 400 {
				t.Errorf("parsed: %+v", p)
			}
			if story := e.Story(); !strings.Contains(story, "attempt 1 on a: not sent") || !strings.Contains(story, "attempt 2 on b: application") {
				t.Errorf("story %q", story)
			}
		})
	}
}

func TestClassOfACallThatWasNeverTried(t *testing.T) {
	if got := new(wrapper.CallError).Class(); got != retryfunc.None {
		t.Errorf("class %v", got)
	}
}
