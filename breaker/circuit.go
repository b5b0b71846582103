package breaker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/afex/hystrix-go/hystrix"
)

const (
	// volume and errorPercent are when hystrix opens a circuit by its own
	// rule; a burst of volume failures is what makes it.
	volume       = 5
	errorPercent = 50
	// anyPercent is a share of errors that every window reaches, that of a
	// window without errors included.
	anyPercent = -1
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
// burst, by a rule that finds every window unhealthy until it has opened.
func (c *circuit) open() {
	now := time.Now()
	if c.dashboard {
		c.configure(1, anyPercent)
	}
	if !c.dashboard || c.told {
		for range volume {
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
		if c.dashboard {
			c.configure(volume, errorPercent)
		}
	}
}

// close reports the success that closes the circuit, which makes hystrix
// forget the failures. If it has not digested the burst yet, it has nothing
// to forget, and the failures must be outvoted instead.
func (c *circuit) close() {
	c.look()
	successes := 1
	if !c.shown.Load() {
		successes += volume
		c.configure(volume, errorPercent)
	}
	now := time.Now()
	for range successes {
		c.tell("success", now, 0)
	}
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
	c.configure(volume, errorPercent)
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
