package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// spanID is where a span is, as it is written.
type spanID struct {
	TraceID string `json:"TraceID"` //nolint:tagliatelle // as written
	SpanID  string `json:"SpanID"`  //nolint:tagliatelle // as written
}

// span is a line of the file of traces.
type span struct {
	Name        string          `json:"name"`
	SpanKind    trace.SpanKind  `json:"SpanKind"`    //nolint:tagliatelle // as written
	SpanContext spanID          `json:"SpanContext"` //nolint:tagliatelle // as written
	Parent      spanID          `json:"parent"`
	Attributes  []spanAttribute `json:"attributes"`
	Links       []spanLink      `json:"links"`
}

type spanAttribute struct {
	Key   string `json:"key"`
	Value struct {
		Value any `json:"value"`
	} `json:"value"`
}

type spanLink struct {
	SpanContext spanID `json:"SpanContext"` //nolint:tagliatelle // as written
}

func (s span) attribute(key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.Value
		}
	}
	return nil
}

// testTraces: each of two tips with one key is a trace of both programs, and the second's
// request links to the execution of the first.
func (s *site) testTraces(t *testing.T) {
	for range 2 {
		if a := s.tip(t, "traced"); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	all := readSpans(t, s.traces)
	requests := make(map[any]span)
	for _, one := range all {
		if one.SpanKind == trace.SpanKindServer && one.attribute("oncemore.key") == "traced" {
			requests[one.attribute("oncemore.outcome")] = one
		}
	}
	executed, replayed := requests["executed"], requests["replayed"]
	for _, request := range []span{executed, replayed} {
		attempt := all[request.Parent]
		call := all[attempt.Parent]
		if request.Name != "hello-srv/Wallet.Tip" || attempt.Name != "Attempt.hello-srv/Wallet.Tip" || call.Name != "hello-srv/Wallet.Tip" ||
			call.SpanKind != trace.SpanKindClient || call.attribute("oncemore.key") != "traced" {
			t.Errorf("the request is %+v, its parent %+v, and that one's %+v", request, attempt, call)
		}
	}
	if executed.SpanContext.TraceID == replayed.SpanContext.TraceID {
		t.Errorf("both tips are of the trace %s", executed.SpanContext.TraceID)
	}
	if len(executed.Links) != 0 || len(replayed.Links) != 1 || replayed.Links[0].SpanContext != executed.SpanContext {
		t.Errorf("the execution %+v links to %+v, its replay to %+v", executed.SpanContext, executed.Links, replayed.Links)
	}
}

// readSpans reads a file of traces, by what the spans are called as parents.
func readSpans(t *testing.T, path string) map[spanID]span {
	t.Helper()
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[spanID]span)
	for line := range strings.Lines(string(written)) {
		var one span
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all[one.SpanContext] = one
	}
	return all
}
