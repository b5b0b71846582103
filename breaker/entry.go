package breaker

import "time"

const (
	// minSilence is for how long an address must have answered nothing before
	// outrun attempts may open its circuit. A slow address answers some call
	// within it; a frozen one does not.
	minSilence = 250 * time.Millisecond

	// A call that cannot be made elsewhere waits this many sleep windows for
	// its first forced probe, and twice as many for each further one, up to
	// the maximum.
	forcedWindows    = 3
	maxForcedWindows = 30
	forcedDoublings  = 4 // after which the maximum is reached
)

// entry is the circuit of one address. It knows no lock and no clock: the
// shard that holds it brings both.
type entry struct {
	state State
	// last is the latest evidence against the address.
	last Event
	// forced counts the forced probes since the circuit opened, up to
	// forcedDoublings.
	forced uint8
	// failures is the weight of the consecutive failures, outruns apart;
	// refusals is that of the refused dials among them that nothing else
	// followed. Each counts up to the threshold.
	failures int
	refusals int
	outruns  int
	// silent is when the first of these failures was reported: the address has
	// answered nothing since. It is zero when there is none.
	silent time.Time
	// changed is when the circuit last opened or closed; zero when never.
	changed time.Time
	// window is when the running sleep window began: at the trip, then at
	// every probe.
	window time.Time
	// seen is when this address last mattered, for those gone for ever.
	seen time.Time
}

// record counts one event at now, of an attempt begun at start. What began
// before the circuit last opened or closed is of an older generation: it met
// something that is not there any more.
func (e *entry) record(o *Options, ev Event, start, now time.Time) {
	e.seen = now
	if !e.changed.IsZero() && !start.After(e.changed) {
		return
	}
	switch {
	case ev == Success:
		e.succeed(now)
	case ev.counts():
		e.fail(o, ev, now)
	}
}

func (e *entry) succeed(now time.Time) {
	if e.state != Closed {
		e.state, e.changed = Closed, now
	}
	e.failures, e.refusals, e.outruns, e.forced = 0, 0, 0, 0
	e.silent = time.Time{}
}

func (e *entry) fail(o *Options, ev Event, now time.Time) {
	e.count(o, ev, now)
	switch {
	case e.state == HalfOpen:
		e.state = Open
	case e.state == Closed && e.trips(o, now):
		e.state, e.changed, e.window = Open, now, now
	}
}

// count adds the weight of one event.
func (e *entry) count(o *Options, ev Event, now time.Time) {
	e.last = ev
	if e.silent.IsZero() {
		e.silent = now
	}
	if ev != Refused {
		e.refusals = 0
	}
	switch ev {
	case Refused:
		e.failures = add(e.failures, o.refusedWeight, o.threshold)
		e.refusals = add(e.refusals, o.refusedWeight, o.threshold)
	case Outrun:
		e.outruns = add(e.outruns, 1, o.threshold)
	default:
		e.failures = add(e.failures, 1, o.threshold)
	}
}

// add returns sum + weight, or limit if that is less. sum is at most limit.
func add(sum, weight, limit int) int {
	if weight >= limit-sum {
		return limit
	}
	return sum + weight
}

// trips tells whether the evidence opens a closed circuit. Outrun attempts
// count only once the address has been silent for long enough.
func (e *entry) trips(o *Options, now time.Time) bool {
	if e.failures >= o.threshold {
		return true
	}
	return e.outruns >= o.threshold-e.failures && now.Sub(e.silent) >= minSilence
}

// refused tells whether refused dials alone are enough to hold the circuit
// open: nothing listens there.
func (e *entry) refused(o *Options) bool {
	return e.refusals >= o.threshold
}

// probe claims the probe of the sleep window, if it is due at now. A claim
// begins the next window, so one that is never reported costs one window.
func (e *entry) probe(o *Options, retriable bool, now time.Time) bool {
	wait, forced := o.sleepWindow, !retriable && !e.refused(o)
	if forced {
		wait *= time.Duration(min(forcedWindows<<e.forced, maxForcedWindows))
	}
	if now.Sub(e.window) < wait {
		return false
	}
	if forced {
		e.forced = min(e.forced+1, forcedDoublings)
	}
	e.state, e.window, e.seen = HalfOpen, now, now
	return true
}

// nextProbe is when the next sleep window begins: zero while closed.
func (e *entry) nextProbe(o *Options) time.Time {
	if e.state == Closed {
		return time.Time{}
	}
	return e.window.Add(o.sleepWindow)
}

// blank tells whether e holds nothing that an unknown address would not.
func (e *entry) blank() bool {
	return e.state == Closed && e.silent.IsZero() && e.changed.IsZero()
}
