package breaker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afex/hystrix-go/hystrix"
)

// When hystrix finds a circuit unhealthy: at so many events in its rolling
// window, of which so many percent are errors.
const (
	// burst is the volume, and how many failures are told to reach it.
	burst       = 5
	halfPercent = 50
	// Any window breaks this rule, one without errors included.
	anyVolume  = 1
	anyPercent = -1
	// No window reaches this volume. It leaves the decision to us: failures
	// that hystrix still has in its queue cannot open a circuit that recovered.
	noVolume = math.MaxInt32
)

// circuit mirrors one address into one hystrix circuit. It is told which way
// it should be and goes there, rather than being given orders, so that a late
// order cannot undo a newer one.
type circuit struct {
	name      string
	dashboard bool
	sleep     time.Duration
	dropped   *atomic.Uint64

	// wanted is whether it should be open.
	wanted atomic.Bool
	// shown is whether hystrix agrees that it is open.
	shown atomic.Bool

	mu sync.Mutex // orders what hystrix is told
	// told is whether hystrix was told to open it, and since when.
	told    bool
	since   time.Time
	hystrix *hystrix.CircuitBreaker
}

func newCircuit(name string, o *Options, dropped *atomic.Uint64) *circuit {
	c := &circuit{name: name, dashboard: o.dashboard, sleep: o.sleepWindow, dropped: dropped}
	c.configure(noVolume, halfPercent)
	return c
}

// nudge settles a circuit that should be open unless hystrix shows it so.
func (c *circuit) nudge() {
	if c != nil && c.wanted.Load() && !c.shown.Load() {
		c.settle()
	}
}

// settle brings hystrix nearer to what is wanted. hystrix digests its metrics
// in its own time, so opening may take several calls. A nil circuit is no
// mirror at all.
func (c *circuit) settle() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch wanted := c.wanted.Load(); {
	case wanted && !c.told:
		c.open()
	case wanted && !c.shown.Load():
		c.look()
		if !c.shown.Load() && time.Since(c.since) > cooling {
			c.open() // nobody looked while hystrix still knew the failures
		}
	case !wanted && c.told:
		c.close()
	}
}

// report passes one event on, for the dashboard. While the circuit is open, a
// success is not for here: settle tells of the one that closes it.
func (c *circuit) report(ev Event, start time.Time, took time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ev == Success && (c.told || c.wanted.Load()) {
		return
	}
	c.tell(ev.hystrixType(), start, took)
}

// open makes hystrix find the circuit unhealthy: by a burst of failures, or,
// where it has seen the real events and old successes could outweigh any
// burst, by a rule that any window breaks.
func (c *circuit) open() {
	now := time.Now()
	if c.dashboard {
		c.configure(anyVolume, anyPercent)
	} else {
		c.configure(burst, halfPercent)
	}
	if !c.dashboard || c.told {
		for range burst {
			c.tell("failure", now, 0)
		}
	}
	c.told, c.since = true, now
	c.look()
}

// look is what makes hystrix judge; once it has opened, it stays open.
func (c *circuit) look() {
	if c.attached() && c.hystrix.IsOpen() {
		c.shown.Store(true)
		c.configure(burst, halfPercent)
	}
}

// close reports the success that closes the circuit, which makes hystrix
// forget the failures.
func (c *circuit) close() {
	c.configure(noVolume, halfPercent)
	c.tell("success", time.Now(), 0)
	c.told = false
	c.shown.Store(false)
}

func (c *circuit) tell(kind string, start time.Time, took time.Duration) {
	if !c.attached() || c.hystrix.ReportEvent([]string{kind}, start, took) != nil {
		c.dropped.Add(1)
	}
}

// clean tells whether hystrix, too, shows the circuit closed. If somebody
// looked at a bad moment it may not; then it is told once more.
func (c *circuit) clean() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.attached() || !c.hystrix.IsOpen() {
		return true
	}
	c.tell("success", time.Now(), 0)
	return false
}

// attached makes the hystrix circuit on first use.
func (c *circuit) attached() bool {
	if c.hystrix != nil {
		return true
	}
	made, _, err := hystrix.GetCircuit(c.name)
	if err != nil {
		return false
	}
	c.hystrix = made
	return true
}

func (c *circuit) configure(volume, percent int) {
	sleep := (c.sleep + time.Millisecond - 1) / time.Millisecond
	hystrix.ConfigureCommand(c.name, hystrix.CommandConfig{
		MaxConcurrentRequests:  1, // its semaphore is never taken
		RequestVolumeThreshold: volume,
		SleepWindow:            int(sleep),
		ErrorPercentThreshold:  percent,
	})
}
