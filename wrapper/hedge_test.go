package wrapper_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// step is what one attempt takes, and how it ends.
type step struct {
	takes time.Duration
	err   error
}

// script is a timetable whose attempts may fail.
type script struct {
	timetable
	errs []error
}

func newScript(steps ...step) *script {
	s := new(script)
	for _, one := range steps {
		s.takes, s.errs = append(s.takes, one.takes), append(s.errs, one.err)
	}
	return s
}

func (s *script) wire(_ context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
	takes, err := s.begin()
	time.Sleep(takes)
	if err == nil {
		reply(rsp, node.Address)
	}
	return err
}

func (s *script) begin() (time.Duration, error) {
	takes := s.timetable.begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	return takes, s.errs[min(len(s.begun), len(s.errs))-1]
}

// continueWith has all further attempts end so.
func (s *script) continueWith(one step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.errs = []time.Duration{one.takes}, []error{one.err}
}

// TestHedge: when an attempt of a call is hedged, what ends the race, and what the
// story says of it. The hedge's delay is 50 ms of the call's 900.
func TestHedge(t *testing.T) {
	const ms, long = time.Millisecond, time.Hour
	var (
		hedged    = retryfunc.ReasonHedged
		outrun    = retryfunc.ReasonOutrun
		running   = retryfunc.ReasonRunning
		granted   = retryfunc.ReasonGranted
		notFound  = merrors.NotFound("bank", "no such account")
		hedge     = wrapper.WithHedge(50 * ms)
		adaptive  = wrapper.WithAdaptiveHedge(0.95, ms, 50*ms) // cold: the longest
		trusted   = wrapper.WithTrustedKeys()
		writes    = wrapper.WithHedgedWrites()
		penniless = wrapper.WithHedgeBudget(newBudget(t, retryfunc.WithRatio(0), retryfunc.WithMinPerSecond(0)))
		quick     = wrapper.WithHedge(10 * ms)
	)
	tests := []struct {
		name     string
		endpoint string
		steps    []step
		opts     []wrapper.ClientOption
		call     []client.CallOption
		begun    []time.Duration
		reasons  []retryfunc.Reason
		took     time.Duration
		fails    bool
	}{
		{"off by default", read, []step{{200 * ms, nil}}, nil, nil, []time.Duration{0}, []retryfunc.Reason{""}, 200 * ms, false},
		{"answered in time", read, []step{{49 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0}, []retryfunc.Reason{""}, 49 * ms, false},
		{"the hedge wins", read, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"cold, after the longest delay", read, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{adaptive}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"the first wins", read, []step{{60 * ms, nil}, {long, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, outrun}, 60 * ms, false},
		{"an answer that is an error ends the race", read, []step{{long, nil}, {10 * ms, notFound}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, retryfunc.ReasonAnswered}, 60 * ms, true},
		{"the hedge fails, and the first is waited for", read, []step{{200 * ms, nil}, {10 * ms, errBroken}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, running}, 200 * ms, false},
		{"the hedge is refused, and the first is waited for", read, []step{{200 * ms, nil}, {10 * ms, errRefused}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, running}, 200 * ms, false},
		{"the first fails, and the hedge is waited for", read, []step{{60 * ms, errBroken}, {100 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 150 * ms, false},
		{"both fail, the first sooner", read, []step{{60 * ms, errBroken}, {20 * ms, errBroken}, {5 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms, 70 * ms}, []retryfunc.Reason{hedged, granted, ""}, 75 * ms, false},
		{"both fail, the hedge sooner", read, []step{{100 * ms, errBroken}, {20 * ms, errBroken}, {5 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms, 100 * ms}, []retryfunc.Reason{granted, running, ""}, 105 * ms, false},
		{"the hedge fails, and the first has its share", read, []step{{long, nil}, {10 * ms, errBroken}, {5 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms, 300 * ms}, []retryfunc.Reason{retryfunc.ReasonOverdue, running, ""}, 305 * ms, false},
		{"attempts run out", read, []step{{100 * ms, errBroken}, {20 * ms, errBroken}, {5 * ms, nil}}, []wrapper.ClientOption{hedge, wrapper.WithAttempts(2)}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{retryfunc.ReasonAttempts, running}, 100 * ms, true},
		{"one hedge, then shares", read, []step{{long, nil}, {long, nil}, {5 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 50 * ms, 475 * ms}, []retryfunc.Reason{hedged, retryfunc.ReasonOverdue, ""}, 480 * ms, false},
		{"a retry is hedged", read, []step{{20 * ms, errBroken}, {long, nil}, {5 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0, 20 * ms, 70 * ms}, []retryfunc.Reason{granted, hedged, ""}, 75 * ms, false},
		{"unsafe", write, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge}, nil, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeUnsafe}, 200 * ms, false},
		{"a keyed write", write, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge, trusted}, nil, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeUnsafe}, 200 * ms, false},
		{"a keyed write, opted in", write, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge, trusted, writes}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"the opt-in is no promise of the servers", write, []step{{200 * ms, nil}}, []wrapper.ClientOption{writes, hedge}, nil, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeUnsafe}, 200 * ms, false},
		{"the opt-in alone", write, []step{{200 * ms, nil}}, []wrapper.ClientOption{writes, trusted}, nil, []time.Duration{0}, []retryfunc.Reason{""}, 200 * ms, false},
		{"no budget", read, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge, penniless}, nil, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeBudget}, 200 * ms, false},
		{"one attempt", read, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge, wrapper.WithAttempts(1)}, nil, []time.Duration{0}, []retryfunc.Reason{""}, 200 * ms, false},
		{"a policy of the user's does not matter", read, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge, wrapper.WithPolicy(never)}, nil, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"on one call", read, []step{{long, nil}, {10 * ms, nil}}, nil, []client.CallOption{hedge}, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"sooner on one call", read, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge}, []client.CallOption{quick}, []time.Duration{0, 10 * ms}, []retryfunc.Reason{hedged, ""}, 20 * ms, false},
		{"not on one call", read, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge}, []client.CallOption{wrapper.WithoutHedge()}, []time.Duration{0}, []retryfunc.Reason{""}, 200 * ms, false},
		{"writes on one call", write, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge, trusted}, []client.CallOption{writes}, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"without retry on one call", read, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge}, []client.CallOption{wrapper.WithoutRetry()}, []time.Duration{0}, []retryfunc.Reason{""}, 200 * ms, false},
		{"among addresses", read, []step{{long, nil}, {10 * ms, nil}}, []wrapper.ClientOption{hedge}, []client.CallOption{client.WithAddress("x", "y")}, []time.Duration{0, 50 * ms}, []retryfunc.Reason{hedged, ""}, 60 * ms, false},
		{"one address", read, []step{{200 * ms, nil}}, []wrapper.ClientOption{hedge}, []client.CallOption{client.WithAddress("x")}, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeNowhere}, 200 * ms, false},
		{"within an attempt timeout that cuts both", read, []step{{long, nil}, {long, nil}, {5 * ms, nil}}, []wrapper.ClientOption{hedge, wrapper.WithAttemptTimeout(200 * ms)}, nil, []time.Duration{0, 50 * ms, 250 * ms}, []retryfunc.Reason{hedged, granted, ""}, 255 * ms, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				w := newScript(tt.steps...)
				c := wrap(t, wireClient{inner, w.wire}, append(tt.opts, safety(t))...)
				ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
				defer cancel()
				answer, report, err := call(ctx, c, tt.endpoint, tt.call...)
				if (err != nil) != tt.fails {
					t.Errorf("answer %q, error %v: %s", answer, err, report.Story())
				}
				if report.Took != tt.took {
					t.Errorf("it took %v, want %v: %s", report.Took, tt.took, report.Story())
				}
				if got := w.starts(); !slices.Equal(got, tt.begun) {
					t.Errorf("attempts began after %v, want %v", got, tt.begun)
				}
				checkReasons(t, report, tt.reasons)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func newBudget(t testing.TB, opts ...retryfunc.BudgetOption) *retryfunc.Budget {
	t.Helper()
	b, err := retryfunc.NewBudget(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHedgeGoesElsewhere: to no instance that the call has tried, nor to one that
// is ejected.
func TestHedgeGoesElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		nodes   []string
		ejected []string
		want    retryfunc.Reason
	}{
		{"another", []string{"a", "b"}, nil, retryfunc.ReasonHedged},
		{"none but the first", []string{"a"}, nil, retryfunc.ReasonHedgeNowhere},
		{"the other is ejected", []string{"a", "b"}, []string{"b"}, retryfunc.ReasonHedgeNowhere},
		{"past the ejected", []string{"a", "b", "c"}, []string{"b"}, retryfunc.ReasonHedged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := stock(nodes(tt.nodes...))
			synctest.Test(t, func(t *testing.T) {
				set := newSet(t)
				for _, address := range tt.ejected {
					for range 5 {
						set.Report(address, breaker.Broken, time.Now(), 0)
					}
				}
				w := newScript(step{200 * time.Millisecond, nil}, step{time.Millisecond, nil})
				c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*time.Millisecond), wrapper.WithBreaker(set), safety(t))
				_, report, err := call(t.Context(), c, read)
				if err != nil || report.Attempts[0].Reason != tt.want {
					t.Errorf("error %v, want %q: %s", err, tt.want, report.Story())
				}
				for _, a := range report.Attempts[1:] {
					if a.Address == report.Attempts[0].Address || slices.Contains(tt.ejected, a.Address) {
						t.Errorf("hedged on %s: %s", a.Address, report.Story())
					}
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// TestHedgePastAStrategy: a wrapper that brings every attempt to the same instance
// is no reason to ask that one twice; nor is a proxy, which has no id.
func TestHedgePastAStrategy(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		id      string
		steps   []step
		begun   []time.Duration
		reasons []retryfunc.Reason
	}{
		{"an instance", "only", []step{{200 * ms, nil}, {10 * ms, nil}}, []time.Duration{0, 50 * ms}, []retryfunc.Reason{retryfunc.ReasonHedged, ""}},
		{"a proxy", "", []step{{200 * ms, nil}}, []time.Duration{0}, []retryfunc.Reason{retryfunc.ReasonHedgeNowhere}},
		{"a proxy that fails", "", []step{{200 * ms, errBroken}, {10 * ms, nil}}, []time.Duration{0, 200 * ms}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}},
		{"a proxy that fails at once", "", []step{{50 * ms, errBroken}, {10 * ms, nil}}, []time.Duration{0, 50 * ms}, []retryfunc.Reason{retryfunc.ReasonGranted, ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stubborn := func(o *client.CallOptions) {
				o.CallWrappers = append(slices.Clip(o.CallWrappers), func(next client.CallFunc) client.CallFunc {
					return func(ctx context.Context, _ *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
						return next(ctx, &registry.Node{Id: tt.id, Address: "only"}, req, rsp, opts)
					}
				})
			}
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				w := newScript(tt.steps...)
				c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*ms), safety(t))
				_, report, err := call(t.Context(), c, read, stubborn)
				if err != nil {
					t.Errorf("error %v: %s", err, report.Story())
				}
				if got := w.starts(); !slices.Equal(got, tt.begun) {
					t.Errorf("attempts began after %v, want %v", got, tt.begun)
				}
				checkReasons(t, report, tt.reasons)
				time.Sleep(time.Second)
			})
		})
	}
}

// TestHedgeNeedsAResponseOfItsOwn: attempts cannot both write to one map.
func TestHedgeNeedsAResponseOfItsOwn(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		w := newScript(step{200 * time.Millisecond, nil})
		c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*time.Millisecond), safety(t))
		var report wrapper.Report
		err := c.Call(t.Context(), c.NewRequest("bank", read, wrapperspb.String("ann")), map[string]int{}, wrapper.WithStory(&report))
		if err != nil {
			t.Errorf("error %v", err)
		}
		checkReasons(t, report, []retryfunc.Reason{retryfunc.ReasonHedgeShared})
		time.Sleep(time.Second)
	})
}

// TestLoserIsCancelled: a hedge when the call ends, and so the attempt that was
// hedged, but for one of each instance, which may show that it lives until it has
// had 250 ms.
func TestLoserIsCancelled(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		takes []time.Duration // of each call's attempts
		calls int
		want  []time.Duration
	}{
		"the hedge":       {[]time.Duration{60 * ms, time.Hour}, 2, []time.Duration{60 * ms, 60 * ms}},
		"the first":       {[]time.Duration{time.Hour, 10 * ms}, 1, []time.Duration{250 * ms}},
		"all but one":     {[]time.Duration{time.Hour, 10 * ms}, 3, []time.Duration{60 * ms, 60 * ms, 250 * ms}},
		"one that lives":  {[]time.Duration{100 * ms, 10 * ms}, 1, nil},
		"later than that": {[]time.Duration{time.Hour, 250 * ms}, 1, []time.Duration{300 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := stock(nodes("a", "b"))
			synctest.Test(t, func(t *testing.T) {
				var (
					mu        sync.Mutex
					cancelled []time.Duration
					began     = time.Now()
				)
				wire := func(ctx context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
					takes := tt.takes[0]
					if node.Address == "b" {
						takes = tt.takes[1]
					}
					select {
					case <-time.After(takes):
						reply(rsp, node.Address)
						return nil
					case <-ctx.Done():
						mu.Lock()
						defer mu.Unlock()
						cancelled = append(cancelled, time.Since(began))
						return ctx.Err()
					}
				}
				c := wrap(t, wireClient{inner, wire}, wrapper.WithHedge(50*ms), safety(t))
				var group sync.WaitGroup
				for range tt.calls {
					group.Go(func() {
						if _, report, err := call(t.Context(), c, read); err != nil {
							t.Errorf("error %v: %s", err, report.Story())
						}
					})
				}
				group.Wait()
				time.Sleep(2 * time.Hour)
				mu.Lock()
				defer mu.Unlock()
				if slices.Sort(cancelled); !slices.Equal(cancelled, tt.want) {
					t.Errorf("cancelled after %v, want %v", cancelled, tt.want)
				}
			})
		})
	}
}

// TestCallerWhoLeavesEndsBoth attempts, whatever instance they might testify for.
func TestCallerWhoLeavesEndsBoth(t *testing.T) {
	inner := stock(nodes("a", "b"))
	synctest.Test(t, func(t *testing.T) {
		var ended sync.WaitGroup
		ended.Add(2)
		wire := func(ctx context.Context, _ *registry.Node, _ client.Request, _ any, _ client.CallOptions) error {
			defer ended.Done()
			<-ctx.Done()
			return ctx.Err()
		}
		c := wrap(t, wireClient{inner, wire}, wrapper.WithHedge(50*time.Millisecond), safety(t))
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, cancel)
		_, report, err := call(ctx, c, read)
		ended.Wait()
		if took := time.Since(began); err == nil || took != 100*time.Millisecond {
			t.Errorf("error %v, all ended after %v: %s", err, took, report.Story())
		}
		for _, a := range report.Attempts {
			if a.Class != retryfunc.Canceled {
				t.Errorf("story: %s", report.Story())
			}
		}
	})
}

// TestHedgesStopWhenTheCalleeIsInTrouble, and begin again when it has recovered.
func TestHedgesStopWhenTheCalleeIsInTrouble(t *testing.T) {
	const ms = time.Millisecond
	mark := func(m retryfunc.Mark) error { m.Service = "bank"; return retryfunc.NewMarked(503, "busy", m) }
	for name, tt := range map[string]struct {
		trouble error
		stops   bool
	}{
		"timeouts":              {errTimeout, true},
		"refusals":              {mark(retryfunc.Mark{Kind: retryfunc.MarkRefused, RetryAfter: ms}), true},
		"pushback":              {mark(retryfunc.Mark{Kind: retryfunc.MarkRefused, NoRetry: true}), true},
		"pushback of a handler": {merrors.New("bank", "slow down", 429), true},
		"other answers":         {merrors.NotFound("bank", "no such account"), false},
		"refused dials":         {errRefused, false},
	} {
		t.Run(name, func(t *testing.T) {
			inner := stock(nodes("a", "b", "c"))
			synctest.Test(t, func(t *testing.T) {
				w, set := newScript(step{0, tt.trouble}), patientSet(t)
				c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*ms), wrapper.WithBreaker(set), safety(t))
				for range 5 {
					if _, _, err := call(t.Context(), c, read, wrapper.WithAttempts(1)); err == nil {
						t.Fatal("no error")
					}
				}
				w.continueWith(step{60 * ms, nil})
				_, report, err := call(t.Context(), c, read)
				if got := report.Attempts[0].Reason == retryfunc.ReasonHedgeSuspended; got != tt.stops || err != nil {
					t.Errorf("error %v, suspended: %t: %s", err, got, report.Story())
				}
				w.continueWith(step{})
				for range 50 {
					if _, _, err = call(t.Context(), c, read); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				w.continueWith(step{60 * ms, nil})
				if _, report, _ = call(t.Context(), c, read); report.Attempts[0].Reason != retryfunc.ReasonHedged {
					t.Errorf("after it has recovered: %s", report.Story())
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// patientSet are circuits that hardly anything opens.
func patientSet(t *testing.T) *breaker.Set {
	t.Helper()
	set, err := breaker.New(breaker.WithThreshold(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// TestHedgesInVainStop: where the first attempt is always answered before its hedge,
// it is not an instance that is slow.
func TestHedgesInVainStop(t *testing.T) {
	inner := stock(nodes("a", "b", "c"))
	synctest.Test(t, func(t *testing.T) {
		w := newScript(step{60 * time.Millisecond, nil})
		c := wrap(t, wireClient{inner, w.wire}, wrapper.WithHedge(50*time.Millisecond), safety(t),
			wrapper.WithHedgeBudget(newBudget(t, retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1000))))
		const calls = 200
		extra := 0
		for range calls {
			_, report, err := call(t.Context(), c, read)
			if err != nil {
				t.Fatal(err)
			}
			extra += len(report.Attempts) - 1
		}
		if extra == 0 || extra > calls/20+3 {
			t.Errorf("%d of %d calls were hedged in vain", extra, calls)
		}
		time.Sleep(time.Second)
	})
}

// TestCallersStuckTogetherAreHedgedInTurns: many callers meet one frozen instance at
// the same time, and nothing else runs.
func TestCallersStuckTogetherAreHedgedInTurns(t *testing.T) {
	const callers, delay = 100, 80 * time.Millisecond
	inner := stock(nodes("a", "b", "c"))
	synctest.Test(t, func(t *testing.T) {
		wire := func(ctx context.Context, node *registry.Node, _ client.Request, rsp any, _ client.CallOptions) error {
			if node.Address == "a" {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Millisecond)
			reply(rsp, node.Address)
			return nil
		}
		c := wrap(t, wireClient{inner, wire}, wrapper.WithHedge(delay), safety(t),
			wrapper.WithHedgeBudget(newBudget(t, retryfunc.WithRatio(1), retryfunc.WithMinPerSecond(1000))))
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				_, report, err := call(t.Context(), c, read)
				if err != nil || report.Took > 5*delay {
					t.Errorf("error %v after %v: %s", err, report.Took, report.Story())
				}
			})
		}
		group.Wait()
		time.Sleep(time.Hour)
	})
}
