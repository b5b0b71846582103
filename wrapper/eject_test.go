package wrapper_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// perNode is a wire on which each node answers in its own way.
type perNode struct {
	mu      sync.Mutex
	answers map[string]error
	count   map[string]int
}

func (w *perNode) wire(_ context.Context, node *registry.Node, _ client.Request, _ any, _ client.CallOptions) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = make(map[string]int)
	}
	w.count[node.Address]++
	return w.answers[node.Address]
}

// TestEjection calls a service whose first node always answers badly, and
// counts how often it is asked before it is left alone.
func TestEjection(t *testing.T) {
	marked := retryfunc.NewMarked(408, "still running", retryfunc.Mark{Kind: retryfunc.MarkRunning, Service: "bank"})
	const calls = 50
	tests := []struct {
		name   string
		answer error
		want   int // attempts on the bad node
	}{
		{"refused dials count triple", errRefused, 2},
		{"broken", errBroken, 5},
		{"timeout", errTimeout, 5},
		{"internal, where another node answers", merrors.InternalServerError("bank", "disk full"), 5},
		{"an application's answer is a sign of life", merrors.NotFound("bank", "no such account"), calls},
		{"what oncemore answers does not count", marked, calls},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := newSet(t)
			wire := &perNode{answers: map[string]error{"bad": tt.answer}}
			c := newWire(t, nodes("bad", "good", "fine"), wire.wire, wrapper.WithBreaker(set), safety(t))
			for range calls {
				_, _, err := call(t.Context(), c, read)
				if unwanted := err != nil && merrors.FromError(err).Code != 404; unwanted {
					t.Fatal(err)
				}
			}
			if got := wire.count["bad"]; got != tt.want {
				t.Errorf("%d attempts went to the bad node, want %d", got, tt.want)
			}
		})
	}
}

// TestInternalEverywhere: where every node says so, it is the request's fault.
func TestInternalEverywhere(t *testing.T) {
	set := newSet(t)
	boom := merrors.InternalServerError("bank", "division by zero")
	wire := &perNode{answers: map[string]error{"a": boom, "b": boom, "c": boom}}
	c := newWire(t, nodes("a", "b", "c"), wire.wire, wrapper.WithBreaker(set), safety(t))
	for range 20 {
		if _, _, err := call(t.Context(), c, read); err == nil {
			t.Fatal("no error")
		}
	}
	if set.AnyOpen() {
		t.Error("a node was ejected for a request that fails everywhere")
	}
}

func TestCancellationsEjectNobody(t *testing.T) {
	set := newSet(t)
	var giveUp context.CancelFunc
	wire := func(context.Context, *registry.Node, client.Request, any, client.CallOptions) error {
		giveUp()
		return errTimeout
	}
	c := newWire(t, nodes("a"), wire, wrapper.WithBreaker(set), safety(t))
	once := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		giveUp = cancel
		if _, _, err := call(ctx, c, read); err == nil {
			t.Fatal("no error")
		}
	}
	for range 20 {
		once()
	}
	if set.AnyOpen() {
		t.Error("a node was ejected because callers gave up")
	}
}

func TestHookSeesEveryDecision(t *testing.T) {
	var seen []retryfunc.Decision
	hook := func(_ context.Context, d retryfunc.Decision) { seen = append(seen, d) }
	wire := &recorder{answers: []error{errBroken, errBroken, errBroken}}
	c := newWire(t, nodes("a", "b", "c"), wire.wire, onDecision(hook), safety(t))
	if _, _, err := call(t.Context(), c, read); err == nil {
		t.Fatal("no error")
	}
	var reasons []retryfunc.Reason
	for i, d := range seen {
		reasons = append(reasons, d.Reason)
		if d.Service != "bank" || d.Endpoint != read || d.Attempt.Number != i+1 || d.Attempt.Safety != retryfunc.SafetySafe || d.Err == nil {
			t.Errorf("decision %d: %+v", i+1, d)
		}
	}
	want := []retryfunc.Reason{retryfunc.ReasonGranted, retryfunc.ReasonGranted, retryfunc.ReasonAttempts}
	if !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
}

func newSet(t *testing.T) *breaker.Set {
	t.Helper()
	set, err := breaker.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}
