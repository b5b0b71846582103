package breaker

import "time"

// quietWindows is after how many sleep windows without a probe any call may
// make one, whatever tripped the circuit: where all traffic is of the kind
// that must not be risked, a recovered instance would else never be found.
const quietWindows = 3

// entry is the circuit of one address. It knows no lock and no clock: the
// shard that holds it brings both.
type entry struct {
	state State
	// failures is the weight of the consecutive failures, refusals that of
	// the refused dials among them that nothing else followed.
	failures int
	refusals int
	// changed is when the circuit last opened or closed; zero when never.
	changed time.Time
	// window is when the running sleep window began: at the trip, then at
	// every probe.
	window time.Time
	// seen is when this address last mattered, for those gone for ever.
	seen time.Time
	// circuit shows the address in hystrix; nil without a lease.
	circuit *circuit
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
	e.failures, e.refusals = 0, 0
}

func (e *entry) fail(o *Options, ev Event, now time.Time) {
	weight := 1
	if ev == Refused {
		weight = o.refusedWeight
		e.refusals = min(e.refusals+weight, o.threshold)
	} else {
		e.refusals = 0
	}
	e.failures = min(e.failures+weight, o.threshold)
	switch {
	case e.state == HalfOpen:
		e.state = Open
	case e.state == Closed && e.failures >= o.threshold:
		e.state, e.changed, e.window = Open, now, now
	}
}

// refused tells whether refused dials alone are enough to hold the circuit
// open: nothing listens there.
func (e *entry) refused(o *Options) bool {
	return e.refusals >= o.threshold
}

// probe claims the probe of the sleep window, if it is due at now. A claim
// begins the next window, so one that is never reported costs one window.
func (e *entry) probe(o *Options, retriable bool, now time.Time) bool {
	wait := o.sleepWindow
	if !retriable && !e.refused(o) {
		wait *= quietWindows
	}
	if now.Sub(e.window) < wait {
		return false
	}
	e.state, e.window, e.seen = HalfOpen, now, now
	return true
}

// blank tells whether e holds nothing that an unknown address would not.
func (e *entry) blank() bool {
	return e.state == Closed && e.failures == 0 && e.changed.IsZero() && e.circuit == nil
}
