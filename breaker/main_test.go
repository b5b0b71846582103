package breaker

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	metricCollector "github.com/afex/hystrix-go/hystrix/metric_collector"
	"go.uber.org/goleak"
)

// hystrix's two goroutines per circuit, which never end.
const (
	monitorMetrics = "github.com/afex/hystrix-go/hystrix.(*metricExchange).Monitor"
	monitorPool    = "github.com/afex/hystrix-go/hystrix.(*poolMetrics).Monitor"
)

func TestMain(m *testing.M) {
	metricCollector.Registry.Register(told.collector)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction(monitorMetrics), goleak.IgnoreAnyFunction(monitorPool)); err != nil {
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

func newSet(t *testing.T, c *clock, opts ...Option) *Set {
	t.Helper()
	s, err := New(append([]Option{WithClock(c.Now)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// attempt reports one event of an attempt that took a millisecond.
func attempt(s *Set, c *clock, address string, ev Event) {
	start := c.Now()
	c.advance(time.Millisecond)
	s.Report(address, ev, start.Add(time.Nanosecond), time.Millisecond)
}

func isOpen(s *Set, address string) bool {
	open, _ := s.Open(address)
	return open
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

// told counts what hystrix digested, per circuit.
var told = &tally{byCircuit: make(map[string]metricCollector.MetricResult)}

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
