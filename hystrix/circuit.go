package hystrix

import (
	"math"
	"sync/atomic"
	"time"

	hystrixgo "github.com/afex/hystrix-go/hystrix"

	"github.com/oncemore-dev/oncemore/breaker"
)

// When hystrix finds a circuit unhealthy: at so many events in its rolling
// window, of which so many percent are errors.
const (
	// burst is the volume, and how many failures are reported to reach it.
	burst       = 5
	halfPercent = 50
	// Any window breaks this rule, one without errors included.
	anyVolume  = 1
	anyPercent = -1
	// No window reaches this volume. It leaves the decision to the Set:
	// failures that hystrix still has in its queue cannot open a circuit that
	// recovered.
	noVolume = math.MaxInt32
)

// circuit is one hystrix circuit, and what it was told. Its Mirror is locked
// for writing, except in report.
type circuit struct {
	name      string
	dashboard bool
	dropped   *atomic.Uint64
	hystrix   *hystrixgo.CircuitBreaker
	// sleep is the sleep window of the Set, for whoever reads the settings.
	sleep time.Duration

	// openRequested is whether hystrix was told to open it, and requestedAt
	// when; shown is whether it has.
	openRequested bool
	requestedAt   time.Time
	shown         bool
	// seen is when its address last had an event, in Unix nanoseconds.
	seen atomic.Int64
}

func newCircuit(name string, dashboard bool, dropped *atomic.Uint64) (*circuit, error) {
	made, _, err := hystrixgo.GetCircuit(name)
	if err != nil {
		return nil, err
	}
	c := &circuit{name: name, dashboard: dashboard, dropped: dropped, hystrix: made}
	c.configure(noVolume, halfPercent)
	return c, nil
}

// syncOpen brings hystrix nearer to showing the circuit open. hystrix digests
// its metrics in its own time, so it may take several calls.
func (c *circuit) syncOpen(now time.Time) {
	if !c.openRequested {
		c.open(now)
		return
	}
	if c.look(); !c.shown && c.forgotten(now) {
		c.open(now)
	}
}

// open makes hystrix find the circuit unhealthy: by a burst of failures, or,
// where it has seen the real events and old successes could outweigh any
// burst, by a rule that any window breaks.
func (c *circuit) open(now time.Time) {
	if c.dashboard {
		c.configure(anyVolume, anyPercent)
	} else {
		c.configure(burst, halfPercent)
	}
	if !c.dashboard || c.openRequested {
		c.reportBurst()
	}
	c.openRequested, c.requestedAt = true, now
	c.look()
}

func (c *circuit) reportBurst() {
	start := time.Now()
	for range burst {
		c.tell("failure", start, 0)
	}
}

// forgotten tells whether hystrix can have forgotten what opens the circuit.
func (c *circuit) forgotten(now time.Time) bool {
	return now.Sub(c.requestedAt) > cooling
}

// look makes hystrix judge; once it has opened the circuit, it stays open.
func (c *circuit) look() {
	if c.openRequested && !c.shown && c.hystrix.IsOpen() {
		c.shown = true
		c.configure(burst, halfPercent)
	}
}

// close reports the success that closes the circuit, which makes hystrix
// forget the failures.
func (c *circuit) close() {
	if !c.openRequested {
		return
	}
	c.configure(noVolume, halfPercent)
	c.tell("success", time.Now(), 0)
	c.openRequested, c.shown = false, false
}

// clean tells whether hystrix, too, shows the circuit closed. If somebody
// looked at a bad moment it may not; then it is told once more.
func (c *circuit) clean() bool {
	if !c.hystrix.IsOpen() {
		return true
	}
	c.tell("success", time.Now(), 0)
	return false
}

// report passes one event on. A success of an open circuit is withheld: close
// reports the one that closes it.
func (c *circuit) report(ev breaker.Event, start time.Time, took time.Duration, now time.Time) {
	c.seen.Store(now.UnixNano())
	if ev == breaker.Success && c.openRequested {
		return
	}
	c.tell(kindOf(ev), start, took)
}

// tell reports an event to hystrix, which may have no room for it.
func (c *circuit) tell(kind string, start time.Time, took time.Duration) {
	if c.hystrix.ReportEvent([]string{kind}, start, took) != nil {
		c.dropped.Add(1)
	}
}

func (c *circuit) configure(volume, percent int) {
	sleep := (c.sleep + time.Millisecond - 1) / time.Millisecond
	hystrixgo.ConfigureCommand(c.name, hystrixgo.CommandConfig{
		MaxConcurrentRequests:  1, // its semaphore is never taken
		RequestVolumeThreshold: volume,
		SleepWindow:            int(sleep),
		ErrorPercentThreshold:  percent,
	})
}

// kindOf is the name hystrix has for ev. It counts context_canceled neither as
// a success nor as an error.
func kindOf(ev breaker.Event) string {
	switch ev {
	case breaker.Success:
		return "success"
	case breaker.Timeout, breaker.Unreachable, breaker.Outrun:
		return "timeout"
	case breaker.Refused, breaker.Broken, breaker.Failure:
		return "failure"
	default:
		return "context_canceled"
	}
}
