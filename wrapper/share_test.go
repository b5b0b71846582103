package wrapper_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// sleepIsSafe declares the endpoint whose callers say how long it takes.
func sleepIsSafe(t *testing.T) wrapper.ClientOption {
	t.Helper()
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{fixture.Sleep: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	return wrapper.WithSafety(rule)
}

// TestSlowSafeEndpointStaysUp: an endpoint that needs 0.4 s of its callers'
// second works bare, and must not be taken for a fleet in trouble.
func TestSlowSafeEndpointStaysUp(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		fleets := map[string]*slowFleet{"bare": startSlowFleet(t, transport), "wrapped": startSlowFleet(t, transport)}
		set := newSet(t)
		wrapped := fleets["wrapped"]
		wrapped.client = wrap(t, wrapped.client, sleepIsSafe(t), wrapper.WithBreaker(set))
		var group sync.WaitGroup
		for _, f := range fleets {
			group.Go(func() { f.callAll(t.Context(), 900) })
		}
		group.Wait()
		if bare, got := 900-fleets["bare"].answered.Load(), 900-wrapped.answered.Load(); got > bare+noise(bare) {
			t.Errorf("%d of 900 calls failed, and %d of the bare client: %v", got, bare, wrapped.failed)
		}
		if open := set.Ejected(); len(open) > 0 {
			t.Errorf("ejected: %+v", open)
		}
		// Until one call was answered nobody knows that the endpoint needs so long.
		if ran := wrapped.executions(); ran > 900+64+90 {
			t.Errorf("%d executions of 900 calls", ran)
		}
	})
}

// noise is by how much a count may exceed an equal one by chance: three standard
// deviations of a rare event, on a machine with other things to do.
func noise(count int32) int32 { return int32(math.Ceil(3 * math.Sqrt(float64(count+1)))) }

// slowFleet are two instances and a client whose calls need 0.4 s of a second.
type slowFleet struct {
	nodes    []*fixture.Node
	client   client.Client
	answered atomic.Int32

	mu     sync.Mutex
	failed map[string]int // by what became of their attempts
}

func startSlowFleet(t *testing.T, transport string) *slowFleet {
	t.Helper()
	f := new(slowFleet)
	var addresses []string
	for range 2 {
		n := fixture.Start(t, fixture.Config{Transport: transport})
		f.nodes, addresses = append(f.nodes, n), append(addresses, n.Address())
	}
	f.client = fixture.NewClient(t, transport, addresses, client.Retries(0))
	return f
}

// callAll makes so many calls, 64 at a time.
func (f *slowFleet) callAll(ctx context.Context, calls int) {
	var (
		group sync.WaitGroup
		begun atomic.Int32
	)
	for range 64 {
		group.Go(func() {
			for begun.Add(1) <= int32(calls) {
				f.call(ctx)
			}
		})
	}
	group.Wait()
}

func (f *slowFleet) call(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var report wrapper.Report
	_, err := fixture.Call(ctx, f.client, fixture.Sleep, "400ms", wrapper.WithStory(&report))
	if err == nil {
		f.answered.Add(1)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = make(map[string]int)
	}
	f.failed[fmt.Sprintf("%v: %s", err, report.Story())]++
}

func (f *slowFleet) executions() (n int) {
	for _, node := range f.nodes {
		n += node.Executions(fixture.Sleep)
	}
	return n
}

// timetable is a wire on which each attempt answers, with its node's address,
// after the time that is its own.
type timetable struct {
	mu    sync.Mutex
	begun []time.Duration // since the first attempt
	first time.Time
	takes []time.Duration // the last of them again for every attempt after it
}

func (w *timetable) wire(_ context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
	time.Sleep(w.begin())
	reply(rsp, node.Address)
	return nil
}

// begin notes an attempt, and returns how long it takes.
func (w *timetable) begin() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first.IsZero() {
		w.first = time.Now()
	}
	w.begun = append(w.begun, time.Since(w.first))
	return w.takes[min(len(w.begun), len(w.takes))-1]
}

// again begins the timetable anew.
func (w *timetable) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = nil
}

// starts tells when the attempts began.
func (w *timetable) starts() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.begun)
}

// TestShares: when an attempt of a call begins beside the one before it, by the
// time that the call has and what is known of the endpoint.
func TestShares(t *testing.T) {
	const ms = time.Millisecond
	nested := metadata.NewContext(context.Background(), metadata.Metadata{"Remote": "127.0.0.1:1"})
	tests := []struct {
		name   string
		ctx    context.Context //nolint:containedctx // what a call is made with
		within time.Duration
		takes  []time.Duration
		opts   []wrapper.ClientOption
		begun  []time.Duration
	}{
		{"a third of the time, half of the rest", nil, 900 * ms, []time.Duration{time.Hour, time.Hour, 10 * ms}, nil, []time.Duration{0, 300 * ms, 600 * ms}},
		{"enough for an attempt", nil, 900 * ms, []time.Duration{299 * ms}, nil, []time.Duration{0}},
		{"at least 100 ms, where nothing is known", nil, 120 * ms, []time.Duration{99 * ms}, nil, []time.Duration{0}},
		{"the rest for the second", nil, 150 * ms, []time.Duration{149 * ms}, nil, []time.Duration{0, 100 * ms}},
		{"nested, at least 100 ms", nested, 120 * ms, []time.Duration{99 * ms}, nil, []time.Duration{0}},
		{"nested, with time enough", nested, 900 * ms, []time.Duration{time.Hour, 10 * ms}, nil, []time.Duration{0, 300 * ms}},
		{"by the number of attempts", nil, 900 * ms, []time.Duration{time.Hour, 10 * ms}, []wrapper.ClientOption{wrapper.WithAttempts(9)}, []time.Duration{0, 100 * ms}},
		{"one attempt", nil, 900 * ms, []time.Duration{899 * ms}, []wrapper.ClientOption{wrapper.WithAttempts(1)}, []time.Duration{0}},
		{"none that a policy would not make", nil, 900 * ms, []time.Duration{899 * ms}, []wrapper.ClientOption{wrapper.WithPolicy(never)}, []time.Duration{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				w := &timetable{takes: tt.takes}
				c := wrap(t, wireClient{inner, w.wire}, append(tt.opts, safety(t))...)
				ctx, cancel := context.WithTimeout(orElse(tt.ctx, t.Context()), tt.within)
				defer cancel()
				if _, report, err := call(ctx, c, read); err != nil {
					t.Errorf("error %v: %s", err, report.Story())
				}
				if got := w.starts(); !slices.Equal(got, tt.begun) {
					t.Errorf("attempts began after %v, want %v", got, tt.begun)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func orElse(ctx, other context.Context) context.Context {
	if ctx != nil {
		return ctx
	}
	return other
}

// TestNothingBeginsSoonerThanTheEndpointNeeds: once an endpoint is known to need
// longer than a share, an attempt has as long.
func TestNothingBeginsSoonerThanTheEndpointNeeds(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		learning, calls := 0, 100
		w := new(timetable)
		for i := range calls + 2 { // none is as late as the latest before it
			w.takes = append(w.takes, 800*time.Millisecond-time.Duration(i)*time.Microsecond)
		}
		c := wrap(t, wireClient{inner, w.wire}, safety(t))
		for i := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, report, err := call(ctx, c, read)
			cancel()
			if err != nil {
				t.Fatalf("call %d: %v: %s", i+1, err, report.Story())
			}
			if i == 0 {
				learning = len(w.starts())
			}
		}
		if got := len(w.starts()) - learning; got != calls-1 {
			t.Errorf("%d attempts of %d calls to an endpoint that was known", got, calls-1)
		}
		time.Sleep(time.Minute)
	})
}

// TestLateReplyOfAnOverdueAttemptWins while its call is open.
func TestLateReplyOfAnOverdueAttemptWins(t *testing.T) {
	inner := stock(nodes("a", "b", "c"))
	synctest.Test(t, func(t *testing.T) {
		w := &timetable{takes: []time.Duration{500 * time.Millisecond, time.Hour}}
		c := wrap(t, wireClient{inner, w.wire}, safety(t))
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		began := time.Now()
		answer, report, err := call(ctx, c, read)
		if err != nil {
			t.Fatalf("error %v: %s", err, report.Story())
		}
		if len(report.Attempts) != 2 {
			t.Fatalf("story: %s", report.Story())
		}
		if answer != report.Attempts[0].Address {
			t.Errorf("answer of %q, want that of the first attempt: %s", answer, report.Story())
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if got := report.Attempts[0]; got.Class != retryfunc.None || got.Duration != 500*time.Millisecond {
			t.Errorf("story of the winner: %v", got)
		}
		if got := report.Attempts[1].Reason; got != retryfunc.ReasonOutrun {
			t.Errorf("the other attempt ended as %q, want %q", got, retryfunc.ReasonOutrun)
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestAttemptTimeoutCuts: what comes after the timeout that the user has set is
// nobody's, though the call is open yet.
func TestAttemptTimeoutCuts(t *testing.T) {
	for name, opt := range map[string]func(*client.CallOptions){
		"WithAttemptTimeout": wrapper.WithAttemptTimeout(time.Second),
		"ConnectionTimeout":  func(o *client.CallOptions) { o.ConnectionTimeout = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			inner := stock(nodes("a", "b"))
			synctest.Test(t, func(t *testing.T) {
				w := &timetable{takes: []time.Duration{1500 * time.Millisecond, time.Hour}}
				c := wrap(t, wireClient{inner, w.wire}, wrapper.WithAttempts(2), safety(t))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				rsp := wrapperspb.String("untouched")
				var report wrapper.Report
				err := c.Call(ctx, c.NewRequest("bank", read, rsp), rsp, opt, wrapper.WithStory(&report))
				if err == nil || len(report.Attempts) != 2 {
					t.Fatalf("error %v: %s", err, report.Story())
				}
				if got := report.Attempts[0]; got.Class != retryfunc.Timeout || got.Duration != time.Second {
					t.Errorf("story of the attempt that was cut: %v", got)
				}
				time.Sleep(2 * time.Hour)
				if rsp.GetValue() != "untouched" {
					t.Errorf("response %q", rsp.GetValue())
				}
			})
		})
	}
}

// TestAnswerOfAnOverdueAttempt: an error that a handler answers late is the end
// of the call, as if no other attempt had begun.
func TestAnswerOfAnOverdueAttempt(t *testing.T) {
	inner := stock(nodes("a", "b", "c"))
	synctest.Test(t, func(t *testing.T) {
		w := &timetable{takes: []time.Duration{500 * time.Millisecond, time.Hour}}
		answer := merrors.NotFound("bank", "no such account")
		wire := func(ctx context.Context, node *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
			if err := w.wire(ctx, node, req, rsp, opts); err != nil {
				return err
			}
			return answer
		}
		set := newSet(t)
		c := wrap(t, wireClient{inner, wire}, wrapper.WithBreaker(set), safety(t))
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			_, report, err := call(ctx, c, read)
			cancel()
			if !errors.Is(err, answer) {
				t.Fatalf("error %v: %s", err, report.Story())
			}
			if got := report.Class(); got != retryfunc.Application {
				t.Errorf("class %v: %s", got, report.Story())
			}
			if report.Ambiguous() {
				t.Errorf("it is said to be ambiguous: %s", report.Story())
			}
			if last := report.Attempts[len(report.Attempts)-1]; last.Number > 1 && last.Reason != retryfunc.ReasonOutrun {
				t.Errorf("the other attempt ended as %q", last.Reason)
			}
			w.again()
		}
		if set.AnyOpen() {
			t.Errorf("ejected: %+v", set.Ejected())
		}
		time.Sleep(2 * time.Hour)
	})
}
