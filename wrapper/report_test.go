package wrapper_test

import (
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
			e := report
			if len(e.Attempts) != 2 || e.Key == "" {
				t.Fatalf("story %+v", e)
			}
			if e.Attempts[0].Class != retryfunc.NotSent || e.Attempts[1].Class != retryfunc.Application || e.Class() != retryfunc.Application {
				t.Errorf("classes: %v", e.Attempts)
			}
			if err != answer || e.Err != answer {
				t.Errorf("error %#v, in the story %#v, want the one that the client gave", err, e.Err)
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
	if got := new(wrapper.Report).Class(); got != retryfunc.None {
		t.Errorf("class %v", got)
	}
}

func TestAmbiguous(t *testing.T) {
	marked := func(kind retryfunc.MarkKind, code int32) error {
		return remote(retryfunc.NewMarked(code, "", retryfunc.Mark{Kind: kind, Service: "bank"}).Error())
	}
	for _, tt := range []struct {
		name    string
		answers []error
		want    bool
	}{
		{"refused dials", []error{errRefused, errRefused}, false},
		{"refused by the service", []error{marked(retryfunc.MarkRefused, 503)}, false},
		{"answered", []error{merrors.BadRequest("bank", "")}, false},
		{"broken", []error{errBroken}, true},
		{"broken, then refused", []error{errBroken, errRefused, errRefused}, true},
		{"broken, then refused by the service", []error{errBroken, marked(retryfunc.MarkRefused, 503)}, true},
		{"broken, then answered", []error{errBroken, merrors.BadRequest("bank", "")}, false},
		{"failed", []error{remote(merrors.InternalServerError("bank", "panic").Error())}, true},
		{"still running", []error{marked(retryfunc.MarkRunning, 408)}, true},
		{"ended nobody knows how", []error{marked(retryfunc.MarkUnknown, 409)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := &recorder{answers: tt.answers}
			c := newWire(t, nodes("a", "b"), wire.wire, wrapper.WithTrustedKeys())
			_, failed, err := call(t.Context(), c, write)
			if err == nil || len(failed.Attempts) < len(tt.answers) {
				t.Fatalf("error %#v", err)
			}
			if failed.Ambiguous() != tt.want {
				t.Errorf("ambiguous %t, want %t: %v", failed.Ambiguous(), tt.want, failed.Attempts)
			}
		})
	}
	if new(wrapper.Report).Ambiguous() {
		t.Error("a call that was never tried is ambiguous")
	}
}
