package selectorx

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// memory is how long what was seen of a node counts: after it, 63 % is forgotten.
	memory = 10 * time.Second
	// slowStart is for how long a node that joined gets less than its share, and
	// leastAge the share that it begins with.
	slowStart = 10 * time.Second
	leastAge  = 0.1

	// A success makes good a twentieth of what failures took, or what time has made
	// good, whichever is more; a failure takes a tenth of what is left.
	leastRecovery = 0.05
	failureKeeps  = 0.9
	// leastSuccess bounds how dear failures make a node.
	leastSuccess = 0.001
	// quickFailure is from which failure on a node is not taken for quick, which one
	// that fails at once looks like.
	quickFailure = 0.05
)

// Outcome is what the end of an attempt shows of its node's load.
type Outcome uint8

const (
	// OutcomeCut is an attempt that was not waited for: its node would have taken
	// at least that long, and nobody knows how it would have ended.
	OutcomeCut Outcome = iota
	// OutcomeAnswered is an answer, whatever it says.
	OutcomeAnswered
	// OutcomeFailed is no answer, or one that says that the node could not do it.
	OutcomeFailed
)

// nodeLoad is what a client knows of the load of one address. It is safe for
// concurrent use. Figures that belong together may be read from different moments:
// a choice between two nodes is a guess in any case.
type nodeLoad struct {
	joined   time.Duration // on the clock of its Flat; less than 0: it was there from the start
	inflight atomic.Int64

	mu      sync.Mutex    // held while the rest is written
	latency atomic.Uint64 // bits of a float64, in seconds; 0: not known
	failure atomic.Uint64 // bits of a float64: 1 - success
	sampled atomic.Int64  // when, as a Duration on the clock

	// The table's.
	refs, seen int
}

// end counts the end of an attempt that took so long.
func (l *nodeLoad) end(outcome Outcome, took, now time.Duration) {
	l.inflight.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	latency, seconds := math.Float64frombits(l.latency.Load()), took.Seconds()
	if outcome == OutcomeCut && seconds <= latency {
		return
	}
	kept := l.kept(now)
	if seconds > latency {
		latency = seconds // a peak shows trouble at once
	} else {
		latency = latency*kept + seconds*(1-kept)
	}
	l.latency.Store(math.Float64bits(latency))
	l.failure.Store(math.Float64bits(l.failureAfter(outcome, kept)))
	l.sampled.Store(int64(now))
}

// failureAfter is the failure once an outcome has been counted.
func (l *nodeLoad) failureAfter(outcome Outcome, kept float64) float64 {
	failure := math.Float64frombits(l.failure.Load())
	switch outcome {
	case OutcomeAnswered:
		return failure * min(kept, 1-leastRecovery)
	case OutcomeFailed:
		return 1 - (1-failure*kept)*failureKeeps
	default:
		return failure * kept
	}
}

// kept is which share of what was known of a node still counts.
func (l *nodeLoad) kept(now time.Duration) float64 {
	idle := max(0, now-time.Duration(l.sampled.Load()))
	return math.Exp(-idle.Seconds() / memory.Seconds())
}

// predicted is the latency to expect, in seconds, the factor by which all that is known
// besides makes the node dearer, and whether it may take longer to answer than it has
// taken to fail.
func (l *nodeLoad) predicted(now time.Duration) (latency, factor float64, fails bool) {
	kept := l.kept(now)
	success := 1 - math.Float64frombits(l.failure.Load())*kept
	factor = float64(l.inflight.Load()+1) / max(success*success*success, leastSuccess)
	if age := float64(now-l.joined) / float64(slowStart); l.joined >= 0 && age < 1 {
		factor /= max(age, leastAge)
	}
	return math.Float64frombits(l.latency.Load()) * kept, factor, 1-success > quickFailure
}

// cheaper returns which of two nodes a call should go to. One of which nothing is
// known takes the latency of the other, else newcomers would get every call, or none;
// one that fails, no less than that.
func cheaper(a, b *nodeLoad, now time.Duration) *nodeLoad {
	latencyA, factorA, failsA := a.predicted(now)
	latencyB, factorB, failsB := b.predicted(now)
	knownA, knownB := latencyA, latencyB
	if knownA == 0 || failsA {
		latencyA = max(knownA, knownB)
	}
	if knownB == 0 || failsB {
		latencyB = max(knownB, knownA)
	}
	if latencyA == 0 && latencyB == 0 {
		latencyA, latencyB = 1, 1
	}
	if latencyB*factorB < latencyA*factorA {
		return b
	}
	return a
}
