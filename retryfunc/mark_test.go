package retryfunc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	merrors "go-micro.dev/v4/errors"
)

func TestMarkStatus(t *testing.T) {
	tests := []struct {
		mark   Mark
		status string
	}{
		{Mark{Kind: MarkRefused, Service: "hello-srv", RetryAfter: 250 * time.Millisecond}, "refused; service=hello-srv; retry-after=250ms"},
		{Mark{Kind: MarkRunning, Service: "go.micro.srv.hello"}, "running; service=go.micro.srv.hello"},
		{Mark{Kind: MarkUnknown, Service: "a;b=c d", NoRetry: true}, "unknown; service=a%3Bb%3Dc+d; no-retry"},
		{Mark{Kind: MarkRelayed}, "relayed"},
		{Mark{Kind: MarkUnsettled, Service: "bank"}, "unsettled; service=bank"},
		{Mark{Kind: MarkFailed, Service: "bank", NoRetry: true}, "failed; service=bank; no-retry"},
		{
			Mark{Kind: MarkRefused, Service: "bank", Released: time.Date(2026, 11, 22, 12, 0, 0, 1000, time.UTC)},
			"refused; service=bank; released=2026-11-22T12:00:00.000001Z",
		},
	}
	for _, tt := range tests {
		err := NewMarked(503, "detail", tt.mark)
		if err.Id != MarkID || err.Code != 503 || err.Detail != "detail" || err.Status != tt.status {
			t.Errorf("NewMarked(%+v) = %v, want status %q", tt.mark, err, tt.status)
		}
		relayed := merrors.Parse(err.Error())
		for _, e := range []error{err, relayed, fmt.Errorf("x: %w", err), errors.New(err.Error()), serverError(t, err.Error())} {
			if got, ok := ParseMark(e); !ok || got != tt.mark {
				t.Errorf("ParseMark(%T %v) = %+v, %v, want %+v", e, e, got, ok, tt.mark)
			}
		}
	}
}

func TestMarkLeftOut(t *testing.T) {
	for _, m := range []Mark{{}, {Kind: 99, Service: "x"}} {
		err := NewMarked(503, "", m)
		if _, ok := ParseMark(err); ok || err.Status != "Service Unavailable" {
			t.Errorf("NewMarked(%+v) = %v, want no mark", m, err)
		}
	}
	if m, ok := ParseMark(NewMarked(503, "", Mark{Kind: MarkRefused, RetryAfter: -time.Second})); !ok || m.RetryAfter != 0 {
		t.Errorf("negative retry-after: %+v, %v", m, ok)
	}
}

func TestParseMarkRefusesWhatItDoesNotKnow(t *testing.T) {
	marked := func(id, status string) error { return &merrors.Error{Id: id, Code: 503, Status: status} }
	for _, err := range []error{
		nil, errors.New("refused"), marked("hello", "refused; service=x"), marked(MarkID, ""), marked(MarkID, "none"),
		marked(MarkID, "REFUSED"), marked(MarkID, "postponed; service=x"), marked(MarkID, "refused; service=%zz"),
		marked(MarkID, "refused; retry-after=soon"), marked(MarkID, "refused; retry-after=-1s"),
		marked(MarkID, "refused; released=soon"),
	} {
		if m, ok := ParseMark(err); ok || m != (Mark{}) {
			t.Errorf("ParseMark(%v) = %+v, %v", err, m, ok)
		}
	}
	m, ok := ParseMark(marked(MarkID, "refused;service=x ; color=blue; no-retry"))
	if want := (Mark{Kind: MarkRefused, Service: "x", NoRetry: true}); !ok || m != want {
		t.Errorf("unknown field: %+v, %v, want %+v", m, ok, want)
	}
}

// TestHandlersErrorIsMarked: that no record is kept is said beside the handler's own
// error, which stays what it is, and is classified as without the mark.
func TestHandlersErrorIsMarked(t *testing.T) {
	for _, want := range []Mark{{Kind: MarkUnsettled, Service: "bank"}, {Kind: MarkFailed, Service: "bank", NoRetry: true}} {
		testMarkOfHandler(t, want)
	}
}

func testMarkOfHandler(t *testing.T, want Mark) {
	t.Helper()
	for code, class := range map[int32]Class{500: Internal, 402: Application, 408: Timeout} {
		err := NewMarked(code, "no", want)
		err.Id = "till"
		for _, e := range []error{err, errors.New(err.Error()), serverError(t, err.Error())} {
			if got, ok := ParseMark(e); !ok || got != want {
				t.Errorf("ParseMark(%v) = %+v, %v, want %+v", e, got, ok, want)
			}
			if got := Classify(e, Evidence{Client: "mucp", Service: "bank", Answered: true}); got != class {
				t.Errorf("%v is %v, want %v", e, got, class)
			}
		}
	}
}

func TestMarkKindString(t *testing.T) {
	if MarkRelayed.String() != "relayed" || MarkKind(77).String() != "MarkKind(77)" {
		t.Errorf("%v, %v", MarkRelayed, MarkKind(77))
	}
}

func FuzzParseMark(f *testing.F) {
	f.Add("refused; service=hello-srv; retry-after=250ms; no-retry")
	f.Add("running;;=;service=")
	f.Add("relayed; service=%")
	f.Add("refused; released=2026-11-22T12:00:00.000001+02:00")
	f.Fuzz(func(t *testing.T, status string) {
		m, ok := ParseMark(&merrors.Error{Id: MarkID, Code: 503, Status: status})
		if !ok {
			if m != (Mark{}) {
				t.Fatalf("%q: no mark, but %+v", status, m)
			}
			return
		}
		if m.Kind == MarkNone || m.RetryAfter < 0 {
			t.Fatalf("%q: %+v", status, m)
		}
		if again, ok := ParseMark(NewMarked(503, "", m)); !ok || again != m {
			t.Fatalf("%q: %+v came back as %+v, %v", status, m, again, ok)
		}
	})
}
