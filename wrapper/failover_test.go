package wrapper_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const callersAtOnce = 8

// fleet are the instances of one service and a wrapped client of them.
type fleet struct {
	nodes  []*fixture.Node
	client client.Client

	mu     sync.Mutex
	failed map[string]int64 // attempts, by address
}

// startFleet starts n instances. Attempts are cut after a second, calls after
// ten, so that only a wrong decision can make one fail.
func startFleet(t *testing.T, transport string, n int, opts ...wrapper.ClientOption) *fleet {
	t.Helper()
	f := &fleet{failed: make(map[string]int64)}
	addresses := make([]string, n)
	for i := range n {
		f.nodes = append(f.nodes, fixture.Start(t, fixture.Config{Transport: transport}))
		addresses[i] = f.nodes[i].Address()
	}
	stock := fixture.NewClient(t, transport, addresses, client.RequestTimeout(10*time.Second))
	opts = append([]wrapper.ClientOption{wrapper.WithAttemptTimeout(time.Second), onDecision(f.count), fixtureSafety(t)}, opts...)
	f.client = wrap(t, stock, opts...)
	return f
}

// fixtureSafety declares what repeats without harm; Sleep is left out.
func fixtureSafety(t *testing.T) wrapper.ClientOption {
	t.Helper()
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{fixture.Echo: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	return wrapper.WithSafety(rule)
}

func (f *fleet) count(_ context.Context, d retryfunc.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed[d.Attempt.Address]++
}

func (f *fleet) failedOn(n *fixture.Node) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[n.Address()]
}

// drive makes calls, eight at a time, and runs the events one after the other: a
// share of the calls is answered before the first and after each, and calls go
// on for as long as an event takes. Every call must be answered. made is their
// number.
func (f *fleet) drive(t *testing.T, calls int, events ...func()) (made int) {
	t.Helper()
	var (
		answered atomic.Int64
		callers  sync.WaitGroup
	)
	over, answer := make(chan struct{}), make(chan struct{})
	for range callersAtOnce {
		callers.Go(func() {
			for {
				if report, err := f.call(t.Context(), fixture.Echo, ""); err != nil {
					t.Errorf("a caller noticed: %v: %s", err, report.Story())
				}
				answered.Add(1)
				select {
				case answer <- struct{}{}: // somebody counts
				case <-over:
					return
				default:
				}
			}
		})
	}
	share := calls / (len(events) + 1)
	count := func() {
		for range share {
			<-answer
		}
	}
	count()
	for _, event := range events {
		event()
		count()
	}
	close(over)
	callers.Wait()
	return int(answered.Load())
}

// call makes one call, and returns its story too.
func (f *fleet) call(ctx context.Context, endpoint, value string) (report wrapper.Report, err error) {
	_, err = fixture.Call(ctx, f.client, endpoint, value, wrapper.WithStory(&report))
	return report, err
}

// eachTransport runs test on mucp and on grpc.
func eachTransport(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range fixture.Transports() {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

func TestKilledInstancesCostNobody(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, tt := range []struct{ kill, of int }{{1, 2}, {1, 3}, {2, 3}, {9, 10}} {
			t.Run(fmt.Sprintf("%d of %d", tt.kill, tt.of), func(t *testing.T) {
				// A call in flight may see every one of them die.
				f := startFleet(t, transport, tt.of, wrapper.WithAttempts(tt.kill+1))
				windows := time.Now()
				kill := func() {
					windows = time.Now()
					for _, n := range f.nodes[:tt.kill] {
						n.Kill()
					}
				}
				f.drive(t, 900, kill)
				for _, n := range f.nodes[:tt.kill] {
					// Five failures eject; what was in flight is the floor; then one probe per second.
					limit := 5 + callersAtOnce + int64(time.Since(windows)/time.Second) + 1
					if tt.kill > tt.of/2 {
						// Broken connections eject half of the nodes at the most. Of the others
						// each may be met twice: two refused dials then eject it, whatever the cap.
						limit += 2 + callersAtOnce
					}
					if got := f.failedOn(n); got > limit {
						t.Errorf("%d attempts failed on a dead instance, want at most %d", got, limit)
					}
				}
			})
		}
	})
}

func TestKillAndRestartOnTheSamePort(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 2)
		f.drive(t, 1200, f.nodes[0].Kill, f.nodes[0].Restart, f.nodes[1].Kill, f.nodes[1].Restart)
		before := f.nodes[0].Executions(fixture.Echo)
		f.comesBack(t, f.nodes[0], before)
	})
}

// comesBack waits until a restarted instance is used again.
func (f *fleet) comesBack(t *testing.T, n *fixture.Node, before int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		f.drive(t, 50)
		if n.Executions(fixture.Echo) > before {
			return
		}
	}
	t.Error("the restarted instance was never used again")
}

func TestRollingRestart(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 3)
		var events []func()
		for _, n := range f.nodes {
			events = append(events, func() { n.Stop(); n.Restart() })
		}
		f.drive(t, 1200, events...)
	})
}

func TestAllDead(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 3)
		f.drive(t, 100)
		for _, n := range f.nodes {
			n.Kill()
		}
		const calls = 20
		for range calls {
			e, err := f.call(t.Context(), fixture.Echo, "")
			if err == nil {
				t.Fatal("no error")
			}
			// One refused dial to each, and as many attempts, sent and refused, as any call may make.
			if len(e.Attempts) < 3 || len(e.Attempts) > 3+2*wrapper.DefaultAttempts {
				t.Errorf("%d attempts: %s", len(e.Attempts), e.Story())
			}
			// One that was ejected for breaking connections may be left out, so that two are sure.
			if tried := distinct(e.Attempts); tried < 2 {
				t.Errorf("only %d instances were tried: %s", tried, e.Story())
			}
			if last := e.Attempts[len(e.Attempts)-1]; last.Reason == retryfunc.ReasonDeadline {
				t.Errorf("the caller waited for its deadline: %s", e.Story())
			}
		}
	})
}

// distinct counts the instances that a call tried.
func distinct(attempts []wrapper.Attempt) int {
	addresses := make(map[string]bool)
	for _, a := range attempts {
		addresses[a.Address] = true
	}
	return len(addresses)
}

func TestFrozenInstanceCostsOneAttempt(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 3, wrapper.WithAttemptTimeout(300*time.Millisecond))
		f.drive(t, 100)
		f.nodes[0].Freeze()
		for range 100 {
			report, err := f.call(t.Context(), fixture.Echo, "")
			if err != nil {
				t.Errorf("a caller noticed: %v: %s", err, report.Story())
			}
			timeouts := slices.DeleteFunc(report.Attempts, func(a wrapper.Attempt) bool { return a.Class != retryfunc.Timeout })
			if len(timeouts) > 1 {
				t.Errorf("a caller waited for more than one attempt: %v", report.Attempts)
			}
		}
		f.nodes[0].Thaw()
	})
}

func TestCallerWhoCancelsIsNotServedAfterwards(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 2)
		f.nodes[0].Freeze()
		f.nodes[1].Freeze()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan wrapper.Report)
		go func() {
			report, _ := f.call(ctx, fixture.Echo, "")
			done <- report
		}()
		time.AfterFunc(100*time.Millisecond, cancel)
		e := <-done
		if e.Err == nil || e.Class() != retryfunc.Canceled {
			t.Fatalf("error %v: %s", e.Err, e.Story())
		}
		made := len(e.Attempts)
		f.nodes[0].Thaw()
		f.nodes[1].Thaw()
		// What was sent before may run now; a ghost would come on top of it.
		calls := f.drive(t, 50)
		if got := f.nodes[0].Executions(fixture.Echo) + f.nodes[1].Executions(fixture.Echo); got > calls+made {
			t.Errorf("%d executions for %d calls and %d attempts of the one that was given up", got, calls, made)
		}
	})
}

// TestCallerWhoCancelsBetweenAttempts: go-micro's own client sleeps on, and then
// sends an attempt for a caller who has gone. That its ghost has arrived tells
// when that of the wrapped client would have, whose caller left before.
func TestCallerWhoCancelsBetweenAttempts(t *testing.T) {
	rule, err := retryfunc.Endpoints(map[string]retryfunc.Safety{fixture.InternalError: retryfunc.SafetySafe})
	if err != nil {
		t.Fatal(err)
	}
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 1, wrapper.WithSafety(rule))
		leaveBetweenAttempts(t, f.client)

		haunted := fixture.Start(t, fixture.Config{Transport: fixture.MUCP})
		leaveBetweenAttempts(t, fixture.NewClient(t, fixture.MUCP, []string{haunted.Address()}))
		haunted.Await(fixture.InternalError, 2)
		if n := f.nodes[0].Executions(fixture.InternalError); n != 1 {
			t.Errorf("%d executions of a call that was given up after its first attempt", n)
		}
	})
}

// leaveBetweenAttempts makes a call that fails, and cancels it while it waits to
// try again.
func leaveBetweenAttempts(t *testing.T, c client.Client) {
	t.Helper()
	const pause = 500 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := false
	backoff := func(_ context.Context, _ client.Request, count int) (time.Duration, error) {
		if count == 0 {
			return 0, nil
		}
		if !left {
			left = true
			time.AfterFunc(pause/5, cancel)
		}
		return pause, nil
	}
	always := func(context.Context, client.Request, int, error) (bool, error) { return true, nil }
	if _, err := fixture.Call(ctx, c, fixture.InternalError, "no", client.WithBackoff(backoff), client.WithRetry(always)); err == nil || ctx.Err() == nil {
		t.Errorf("error %v, caller %v", err, ctx.Err())
	}
}

func TestBrokenWriteIsNotRetried(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 2)
		done := make(chan wrapper.Report)
		go func() {
			report, _ := f.call(t.Context(), fixture.Sleep, "30s")
			done <- report
		}()
		first, other := f.working(t)
		first.Kill()
		if e := <-done; e.Err == nil || len(e.Attempts) != 1 || e.Class() != retryfunc.Broken {
			t.Fatalf("error %v: %s", e.Err, e.Story())
		}
		if n := other.Executions(fixture.Sleep); n != 0 {
			t.Errorf("it ran %d times on the other instance", n)
		}
	})
}

// working waits until one of two instances executes Sleep.
func (f *fleet) working(t *testing.T) (working, idle *fixture.Node) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, n := range f.nodes {
			if n.Executions(fixture.Sleep) > 0 {
				return n, f.nodes[1-i]
			}
		}
	}
	t.Fatal("no instance executes it")
	return nil, nil
}

func TestRefusedWriteMovesOn(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 3)
		f.nodes[0].Kill()
		f.nodes[1].Kill()
		const calls = 20
		for range calls {
			if report, err := f.call(t.Context(), fixture.Sleep, "0s"); err != nil {
				t.Fatalf("a caller noticed: %v: %s", err, report.Story())
			}
		}
		if n := f.nodes[2].Executions(fixture.Sleep); n != calls {
			t.Errorf("%d executions of %d calls", n, calls)
		}
	})
}

func TestSlowWriteRunsOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		f := startFleet(t, transport, 2, wrapper.WithAttemptTimeout(100*time.Millisecond))
		if report, err := f.call(t.Context(), fixture.Sleep, "1s"); err != nil {
			t.Fatalf("a caller noticed: %v: %s", err, report.Story())
		}
		if n := f.nodes[0].Executions(fixture.Sleep) + f.nodes[1].Executions(fixture.Sleep); n != 1 {
			t.Errorf("%d executions", n)
		}
	})
}

// TestRelayedRefusalIsNotRetried: A calls B, B's own call to C is refused, and B
// answers with that error. B has run, so A must not try again.
func TestRelayedRefusalIsNotRetried(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for _, inner := range fixture.Transports() {
			t.Run("over "+inner, func(t *testing.T) {
				var nodes []*fixture.Node
				var addresses []string
				for range 2 {
					n := fixture.Start(t, fixture.Config{Transport: transport, Relay: fixture.RefusedAddress(t), RelayTransport: inner})
					nodes, addresses = append(nodes, n), append(addresses, n.Address())
				}
				c := wrap(t, fixture.NewClient(t, transport, addresses))
				var e wrapper.Report
				_, err := fixture.Call(t.Context(), c, fixture.Relay, "", wrapper.WithStory(&e))
				if err == nil || len(e.Attempts) != 1 {
					t.Errorf("error %v: %s", err, e.Story())
				}
				if n := nodes[0].Executions(fixture.Relay) + nodes[1].Executions(fixture.Relay); n != 1 {
					t.Errorf("%d executions", n)
				}
			})
		}
	})
}
