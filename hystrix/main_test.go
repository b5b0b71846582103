package hystrix

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	metricCollector "github.com/afex/hystrix-go/hystrix/metric_collector"
	"go.uber.org/goleak"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/internal/leak"
)

// hystrix's two goroutines per circuit, which never end.
const (
	monitorMetrics = "github.com/afex/hystrix-go/hystrix.(*metricExchange).Monitor"
	monitorPool    = "github.com/afex/hystrix-go/hystrix.(*poolMetrics).Monitor"
)

func TestMain(m *testing.M) {
	metricCollector.Registry.Register(digested.collector)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(leak.Hystrix()...); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// hystrixGoroutines counts them by exact function.
func hystrixGoroutines() int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			stacks := string(buf[:n])
			return strings.Count(stacks, "\n"+monitorMetrics+"(") + strings.Count(stacks, "\n"+monitorPool+"(")
		}
		buf = make([]byte, 2*len(buf))
	}
}

// clock is a time source that stands still until it is told to move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// shown is a Set and the Mirror that shows it, both on one clock.
type shown struct {
	*breaker.Set
	mirror *Mirror
	clock  *clock
}

func show(t *testing.T, opts ...Option) shown {
	t.Helper()
	return showSet(t, nil, opts...)
}

func showSet(t *testing.T, setOpts []breaker.Option, opts ...Option) shown {
	t.Helper()
	c := newClock()
	m, err := newMirror(c.Now, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	s, err := breaker.New(append([]breaker.Option{breaker.WithClock(c.Now), m.Option()}, setOpts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return shown{Set: s, mirror: m, clock: c}
}

// attempt reports one event of an attempt that took a millisecond.
func (s shown) attempt(address string, ev breaker.Event) {
	start := s.clock.Now()
	s.clock.advance(time.Millisecond)
	s.Report(address, ev, start.Add(time.Nanosecond), time.Millisecond)
}

func (s shown) isOpen(address string) bool {
	open, _ := s.Open(address)
	return open
}

// probeInVain makes the probe, if it is due, and a failing attempt.
func (s shown) probeInVain(address string) {
	s.Probe(address, true)
	s.attempt(address, breaker.Broken)
}

// shows tells whether the Mirror has seen hystrix show the circuit open.
func (s shown) shows(address string) bool {
	s.mirror.mu.RLock()
	defer s.mirror.mu.RUnlock()
	c := s.mirror.circuits[address]
	return c != nil && c.shown
}

// polls tells whether the Mirror's goroutine runs.
func (s shown) polls() bool {
	s.mirror.mu.RLock()
	defer s.mirror.mu.RUnlock()
	return s.mirror.polling
}

// lease leases a circuit as if its address had tripped.
func (s shown) lease(t *testing.T, address string) *circuit {
	t.Helper()
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	c := s.mirror.lease(address, s.clock.Now())
	if c == nil {
		t.Fatalf("no circuit for %s", address)
	}
	return c
}

// trip opens the circuit of address and returns its name in hystrix.
func (s shown) trip(t *testing.T, address string) string {
	t.Helper()
	for range 5 {
		s.attempt(address, breaker.Broken)
	}
	name, ok := s.mirror.Circuit(address)
	if !ok || !s.isOpen(address) {
		t.Fatalf("%s: has a circuit: %v, tripped: %v, want both", address, ok, s.isOpen(address))
	}
	return name
}

// eventually waits for what hystrix does in its own time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for tries := 0; !holds(); tries++ {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s still not true: %s", what)
		}
		if tries < 100 {
			runtime.Gosched()
		} else {
			time.Sleep(time.Millisecond)
		}
	}
}

// digested counts what hystrix digested, per circuit.
var digested = &tally{byCircuit: make(map[string]metricCollector.MetricResult)}

type tally struct {
	mu        sync.Mutex
	byCircuit map[string]metricCollector.MetricResult
}

func (l *tally) collector(name string) metricCollector.MetricCollector {
	return tallyOf{l, name}
}

func (l *tally) of(name string) metricCollector.MetricResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byCircuit[name]
}

type tallyOf struct {
	*tally
	name string
}

func (l tallyOf) Update(r metricCollector.MetricResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := l.byCircuit[l.name]
	sum.Attempts += r.Attempts
	sum.Errors += r.Errors
	sum.Successes += r.Successes
	sum.Failures += r.Failures
	sum.Timeouts += r.Timeouts
	sum.ContextCanceled += r.ContextCanceled
	l.byCircuit[l.name] = sum
}

func (l tallyOf) Reset() {}
