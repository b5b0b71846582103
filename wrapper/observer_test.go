package wrapper_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oncemore-dev/oncemore/internal/logtest"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// sightings collects events as words. It is safe for concurrent use.
type sightings struct {
	mu    sync.Mutex
	words []string
}

func (s *sightings) see(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, word)
}

func (s *sightings) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.words)
}

// wordOf is an event of a client in a few words.
func wordOf(e wrapper.Event) string {
	switch e := e.(type) {
	case *wrapper.CallEnded:
		return "call ended, saved by " + e.Saved().String()
	case *wrapper.AttemptEnded:
		return "attempt on " + e.Address + " ended: " + e.Class.String()
	case *wrapper.Decided:
		return "decided: " + e.Reason.Code()
	case *wrapper.CircuitChanged:
		return "circuit of " + e.Address + " is " + e.To.String()
	case *wrapper.BudgetEmptied:
		return "budget empty"
	default:
		return "unexpected"
	}
}

// tracing is a Tracer that marks contexts with what began in them.
type tracing struct{ sightings }

type beganKey struct{}

func (tr *tracing) Observe(ctx context.Context, e wrapper.Event) {
	began, _ := ctx.Value(beganKey{}).(string)
	tr.see(began + " → " + wordOf(e))
}

func (tr *tracing) BeginCall(ctx context.Context, _, endpoint string) context.Context {
	return context.WithValue(ctx, beganKey{}, "call "+endpoint)
}

func (tr *tracing) BeginAttempt(ctx context.Context, a *wrapper.AttemptBegun) context.Context {
	return context.WithValue(ctx, beganKey{}, "attempt "+a.Address)
}

func (tr *tracing) BeginRequest(ctx context.Context, _, endpoint string) context.Context {
	return context.WithValue(ctx, beganKey{}, "request "+endpoint)
}

// TestObserversAddUp: each sees all, in order, whatever another does, and the caller and
// the log are told as without them.
func TestObserversAddUp(t *testing.T) {
	log := logtest.Default(t)
	var first, last sightings
	seeing := func(s *sightings) wrapper.ClientOption {
		return wrapper.WithObserver(wrapper.ObserverFunc(func(_ context.Context, e wrapper.Event) { s.see(wordOf(e)) }))
	}
	broken := wrapper.ObserverFunc(func(context.Context, wrapper.Event) { panic("out of order") })
	wire := &recorder{answers: []error{errRefused, nil}}
	c := newWire(t, nodes("a", "b"), wire.wire, seeing(&first), wrapper.WithObserver(broken), seeing(&last))
	if _, _, err := call(t.Context(), c, write); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"decided: granted", "attempt on a ended: not sent", "attempt on b ended: none", "call ended, saved by retry",
	}
	for name, got := range map[string][]string{"first": first.all(), "last": last.all()} {
		if !slices.Equal(got, want) {
			t.Errorf("the %s observer saw %q, want %q", name, got, want)
		}
	}
	if n := log.Count("an observer panicked"); n != len(want) {
		t.Errorf("%d panics are logged, want %d", n, len(want))
	}
	if n := log.Count("a retry saved a call"); n != 1 {
		t.Errorf("the log says %d times that a retry saved the call, want once: %s", n, log)
	}
}

// TestTracerGivesContexts: what ends comes with the context that was made for it, and
// attempts are within their call.
func TestTracerGivesContexts(t *testing.T) {
	tracer := new(tracing)
	wire := &recorder{answers: []error{errRefused, nil}}
	c := newWire(t, nodes("a", "b"), wire.wire, wrapper.WithObserver(tracer))
	if _, _, err := call(t.Context(), c, write); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"call " + write + " → decided: granted", "attempt a → attempt on a ended: not sent",
		"attempt b → attempt on b ended: none", "call " + write + " → call ended, saved by retry",
	}
	if got := tracer.all(); !slices.Equal(got, want) {
		t.Errorf("saw %q, want %q", got, want)
	}
}

// brokenTracer panics, or gives nothing.
type brokenTracer struct{ wrapper.ObserverFunc }

func (brokenTracer) BeginCall(context.Context, string, string) context.Context { panic("no call") }
func (brokenTracer) BeginAttempt(context.Context, *wrapper.AttemptBegun) context.Context {
	return nil
}
func (brokenTracer) BeginRequest(context.Context, string, string) context.Context {
	panic("no request")
}

func TestBrokenTracerDisturbsNobody(t *testing.T) {
	log := logtest.Default(t)
	var seen ends
	wire := &recorder{answers: []error{errRefused, nil}}
	tracer := brokenTracer{func(context.Context, wrapper.Event) {}}
	c := newWire(t, nodes("a", "b"), wire.wire, wrapper.WithObserver(tracer), seen.option())
	if _, _, err := call(t.Context(), c, write); err != nil {
		t.Fatal(err)
	}
	if n := len(seen.list()); n != 1 {
		t.Errorf("the call has %d ends, want 1", n)
	}
	if n := log.Count("a tracer panicked"); n != 1 {
		t.Errorf("%d panics are logged, want 1: %s", n, log)
	}
}

// TestCallLog: by default a call that was saved, and one that may have been executed,
// are logged, and no other; WithLogger(nil) is silent.
func TestCallLog(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []error
		want    string
	}{
		{"answered", nil, ""},
		{"saved", []error{errRefused}, "a retry saved a call"},
		{"refused for good", slices.Repeat([]error{errRefused}, 20), ""},
		{"ambiguous", []error{errBroken}, "may have been executed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, silent := range []bool{false, true} {
				log := logtest.Default(t)
				var opts []wrapper.ClientOption
				if silent {
					opts = append(opts, wrapper.WithLogger(nil))
				}
				wire := &recorder{answers: append(slices.Clone(tt.answers), nil, nil)}
				c := newWire(t, nodes("a", "b"), wire.wire, opts...)
				_, report, err := call(t.Context(), c, write)
				got := log.String()
				switch {
				case silent || tt.want == "":
					if got != "" {
						t.Errorf("logged %q, want nothing", got)
					}
				case !strings.Contains(got, tt.want) || !strings.Contains(got, "key="+report.Key):
					t.Errorf("logged %q, want %q and the key (error %v)", got, tt.want, err)
				}
			}
		})
	}
}

// TestCallLogIsBounded: what every call says is written ten times in ten seconds.
func TestCallLogIsBounded(t *testing.T) {
	log := logtest.Default(t)
	var answers []error
	for range 30 {
		answers = append(answers, errRefused, nil)
	}
	wire := &recorder{answers: answers}
	c := newWire(t, nodes("a", "b"), wire.wire)
	for range 15 {
		if _, _, err := call(t.Context(), c, write); err != nil {
			t.Fatal(err)
		}
	}
	if n := log.Count("a retry saved a call"); n < 1 || n > 10 {
		t.Errorf("logged %d times, want 1 to 10", n)
	}
}
