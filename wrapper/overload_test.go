package wrapper_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/concurrency"
	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/memstore"
	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/wrapper"
)

const (
	slotsWork    = "Slots.Work"
	slotsDone    = "Slots.Done"
	slotsServers = 3
	envSlots     = "SLOTS" // of an instance
	envTake      = "SLOTS_TAKE"
	envLimit     = "SLOTS_LIMIT" // set: with a limit
)

// Slots is a handler that works on a few requests at a time. The others wait, and are
// worked on though their callers have gone.
type Slots struct {
	free chan struct{}
	take time.Duration
	done atomic.Int64
}

// Work takes a slot for a while.
func (s *Slots) Work(_ context.Context, req, rsp *wrapperspb.StringValue) error {
	s.free <- struct{}{}
	defer func() { <-s.free }()
	<-time.After(s.take)
	s.done.Add(1)
	rsp.Value = req.GetValue()
	return nil
}

// Done answers how often it has worked.
func (s *Slots) Done(_ context.Context, _, rsp *wrapperspb.StringValue) error {
	rsp.Value = strconv.FormatInt(s.done.Load(), 10)
	return nil
}

// slots is an instance that can be overloaded.
func slots(i fixture.Instance) ([]server.Option, error) {
	store, err := memstore.New()
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(store)
	if err != nil {
		return nil, err
	}
	var opts []wrapper.ServerOption
	if os.Getenv(envLimit) != "" {
		limiter, err := concurrency.NewAdaptive()
		if err != nil {
			return nil, err
		}
		opts = append(opts, wrapper.WithConcurrencyLimit(limiter, slotsWork))
	}
	wrap, err := wrapper.NewHandlerWrapper(i.Service, guard, opts...)
	if err != nil {
		return nil, err
	}
	each, err := strconv.Atoi(os.Getenv(envSlots))
	if err != nil {
		return nil, err
	}
	take, err := time.ParseDuration(os.Getenv(envTake))
	if err != nil {
		return nil, err
	}
	i.Handle(&Slots{free: make(chan struct{}, each), take: take})
	return []server.Option{server.WrapHandler(wrap)}, nil
}

// flood is a load that calls at a steady rate, whatever becomes of the calls.
type flood struct {
	client       client.Client
	patience     time.Duration
	calls        int
	attempts, ok atomic.Int64
}

func (f *flood) run(ctx context.Context, perSecond int, d time.Duration) {
	var wg sync.WaitGroup
	defer wg.Wait()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < d {
		for due := int(time.Since(began).Seconds() * float64(perSecond)); f.calls < due; f.calls++ {
			wg.Go(func() { f.call(ctx) })
		}
		<-tick.C
	}
}

func (f *flood) call(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	var story wrapper.Report
	if _, err := fixture.Call(ctx, f.client, slotsWork, "x", wrapper.WithStory(&story)); err == nil {
		f.ok.Add(1)
	}
	f.attempts.Add(int64(len(story.Attempts)))
}

// overloadFigures are what became of a service that was offered half as much again as it can do.
type overloadFigures struct {
	attempts  float64 // a call
	goodput   float64 // of its capacity
	useful    float64 // of what it did
	afterward float64 // calls answered, of those made when the load was gone
}

// busyService is one that can be overloaded.
type busyService struct {
	each     int // slots of an instance
	take     time.Duration
	patience time.Duration // of its callers
	limit    string
}

func (s busyService) overload(t testing.TB, transport string, d time.Duration) overloadFigures {
	t.Helper()
	env := []string{envSlots + "=" + strconv.Itoa(s.each), envTake + "=" + s.take.String(), envLimit + "=" + s.limit}
	var addresses []string
	for range slotsServers {
		addresses = append(addresses, fixture.Start(t, fixture.Config{Transport: transport, Setup: "slots", Env: env}).Address())
	}
	capacity := slotsServers * s.each * int(time.Second/s.take)
	load := &flood{client: edgeOf(t, transport, addresses), patience: s.patience}
	load.run(t.Context(), capacity*3/2, d)
	done := 0
	for _, address := range addresses {
		done += worked(t, fixture.NewClient(t, transport, []string{address}))
	}
	after := &flood{client: load.client, patience: s.patience}
	after.run(t.Context(), capacity/2, 2*time.Second)
	return overloadFigures{
		attempts:  float64(load.attempts.Load()) / float64(load.calls),
		goodput:   float64(load.ok.Load()) / (float64(capacity) * d.Seconds()),
		useful:    float64(load.ok.Load()) / float64(done),
		afterward: float64(after.ok.Load()) / float64(after.calls),
	}
}

// worked is how often an instance has worked.
func worked(t testing.TB, c client.Client) int {
	t.Helper()
	text, err := fixture.Call(t.Context(), c, slotsDone, "")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOverload: with a limit a service answers in overload what it can, and is itself
// again when the load is gone. What that is of its capacity depends on what else the
// machine does; that what is done is done in time does not. It is a slow service, so
// that the load is none for the machine.
func TestOverload(t *testing.T) {
	const d, calls = 5 * time.Second, 5 * 90
	const budget = 100 + 10*5 + calls/5 // what is banked, and comes with time and calls
	s := busyService{each: 2, take: 100 * time.Millisecond, patience: 2 * time.Second, limit: "adaptive"}
	eachTransport(t, func(t *testing.T, transport string) {
		got := s.overload(t, transport, d)
		t.Logf("%+v", got)
		if got.attempts > 1+budget/float64(calls) || got.useful < 0.8 || got.afterward < 0.95 {
			t.Errorf("%+v", got)
		}
	})
}

// BenchmarkOverload is TestOverload for as long as the banked budget does not matter,
// beside the same service without a limit.
func BenchmarkOverload(b *testing.B) {
	for _, transport := range fixture.Transports() {
		for name, limit := range map[string]string{"adaptive": "yes", "no limit": ""} {
			b.Run(transport+"/"+name, func(b *testing.B) {
				for range b.N {
					s := busyService{each: 6, take: 60 * time.Millisecond, patience: time.Second, limit: limit}
					got := s.overload(b, transport, 15*time.Second)
					b.ReportMetric(got.attempts, "attempts/call")
					b.ReportMetric(got.useful, "useful/done")
					b.ReportMetric(got.goodput, "goodput/capacity")
					b.ReportMetric(got.afterward, "ok-afterwards")
				}
			})
		}
	}
}
