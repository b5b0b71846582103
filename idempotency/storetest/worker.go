package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// errBusy is a handler's failure before it did anything.
var errBusy = errors.New("storetest: busy")

// worker is a handler that counts its executions.
type worker struct {
	suite  *suite
	key    string
	before int // business writes that had lasted at the start
	runs   atomic.Int32
	do     func(ctx context.Context, n int) error // may be nil
}

func (s *suite) newWorker(t *testing.T, do func(ctx context.Context, n int) error) *worker {
	t.Helper()
	return &worker{suite: s, key: s.newKey(t), before: s.lasting(t), do: do}
}

// storeKey is that of the worker's call.
func (w *worker) storeKey() idempotency.StoreKey {
	return idempotency.Scope{Service: "storetest", Endpoint: "Wallet.Tip", Key: w.key}.StoreKey()
}

// call makes the keyed call and returns the reply.
func (w *worker) call(ctx context.Context, g *idempotency.Guard, change ...func(*idempotency.Call)) (string, error) {
	reply := &wrapperspb.StringValue{}
	call := idempotency.Call{
		Service: "storetest", Endpoint: "Wallet.Tip", Key: idempotency.Key{Value: w.key},
		Body: wrapperspb.String("body"), Reply: reply,
	}
	for _, f := range change {
		f(&call)
	}
	_, err := g.Do(ctx, call, func(ctx context.Context) error {
		n := int(w.runs.Add(1))
		reply.Value = fmt.Sprintf("run %d", n)
		if w.suite.Write != nil {
			if err := w.suite.Write(ctx); err != nil {
				return fmt.Errorf("business write: %w", err)
			}
		}
		if w.do != nil {
			return w.do(ctx, n)
		}
		return nil
	})
	return reply.GetValue(), err
}

// wantReply makes the call and checks its answer.
func (w *worker) wantReply(t *testing.T, g *idempotency.Guard, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cleanupTime)
	defer cancel()
	if got, err := w.call(ctx, g); err != nil || got != want {
		t.Fatalf("reply %q, %v; want %q", got, err, want)
	}
}

// wantError makes the call and checks that it fails for the reason.
func (w *worker) wantError(t *testing.T, g *idempotency.Guard, reason error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cleanupTime)
	defer cancel()
	if got, err := w.call(ctx, g); !errors.Is(err, reason) {
		t.Fatalf("reply %q, %v; want %v", got, err, reason)
	}
}

// want checks how often the handler ran, and on a transactional store how many
// of its writes lasted.
func (w *worker) want(t *testing.T, runs, lasting int) {
	t.Helper()
	if got := int(w.runs.Load()); got != runs {
		t.Errorf("the handler ran %d times, want %d", got, runs)
	}
	if !w.suite.transactional {
		return
	}
	if got := w.suite.lasting(t) - w.before; got != lasting {
		t.Errorf("%d business writes lasted, want %d", got, lasting)
	}
}

func (s *suite) lasting(t *testing.T) int {
	t.Helper()
	if s.Writes == nil {
		return 0
	}
	n, err := s.Writes(t.Context())
	if err != nil {
		t.Fatalf("count the business writes: %v", err)
	}
	return n
}

// events remembers what a guard reported.
type events struct {
	mu   sync.Mutex
	list []idempotency.Event
}

func (e *events) hook(_ context.Context, event idempotency.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

func (e *events) find(kind idempotency.EventKind) (idempotency.Event, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.list {
		if event.Kind == kind {
			return event, true
		}
	}
	return idempotency.Event{}, false
}

// await returns the first event of a kind.
func (e *events) await(t *testing.T, kind idempotency.EventKind) idempotency.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cleanupTime)
	defer cancel()
	for {
		if event, ok := e.find(kind); ok {
			return event
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no event %q came", kind)
		}
	}
}

// newGuard returns a guard that is drained at the end of the test.
func (s *suite) newGuard(t *testing.T, store idempotency.Store, options ...idempotency.Option) (*idempotency.Guard, *events) {
	t.Helper()
	seen := &events{}
	guard, err := idempotency.New(store, append([]idempotency.Option{
		idempotency.WithLease(s.Tick), idempotency.WithPollInterval(s.Tick), idempotency.WithHook(seen.hook),
		idempotency.WithLogger(nil),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
		defer cancel()
		if err := guard.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	return guard, seen
}

// script makes the first operations of a kind fail, one fault each.
func script(op Op, faults ...Fault) Inject {
	var mu sync.Mutex
	return func(_ context.Context, got Op) Fault {
		mu.Lock()
		defer mu.Unlock()
		if got != op || len(faults) == 0 {
			return Fault{}
		}
		fault := faults[0]
		faults = faults[1:]
		return fault
	}
}

// failing makes all operations of a kind fail as long as on is set.
func failing(op Op, on *atomic.Bool, fault Fault) Inject {
	return func(_ context.Context, got Op) Fault {
		if got != op || !on.Load() {
			return Fault{}
		}
		return fault
	}
}
