package wrapper

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// latency estimates what an endpoint has recently needed for an answer. The zero
// value has seen nothing. It is safe for concurrent use.
type latency struct {
	answers  histogram                 // late ones, too
	waits    atomic.Pointer[histogram] // of hedged calls; nil: nobody asked
	estimate atomic.Int64              // of usual, in nanoseconds
}

// histogram counts times in buckets 12.5 % apart, over the last one to two epochs.
// An epoch has lasted five seconds and 128 times, or half a minute. The zero value
// has seen nothing. It is safe for concurrent use.
type histogram struct {
	mu       sync.Mutex
	began    time.Time
	now, old epoch
}

type epoch struct {
	count   int
	longest time.Duration
	buckets [latencyBuckets]uint32
}

const (
	latencyBuckets = 176 // from 1 µs to some 15 minutes
	latencyGrowth  = 1.125

	epochLength  = 5 * time.Second
	epochAnswers = 128
	epochLongest = 30 * time.Second

	// warm is how many answers make a quantile worth more than the longest.
	warm          = 64
	estimateEvery = 16
)

// usually is the share of its answers within which an endpoint usually answers.
const usually = 0.95

// usual is what nearly all answers took of late; 0 where none is known. Of few
// answers it is the longest.
func (l *latency) usual() time.Duration { return time.Duration(l.estimate.Load()) }

// observe adds one answer; late says that its call had ended. The estimate follows
// the first answers at once, and then a few at a time.
func (l *latency) observe(at time.Time, took time.Duration, late bool) {
	if n := l.answers.add(at, took); n < warm || n%estimateEvery == 0 {
		usual, _ := l.answers.quantile(usually)
		l.estimate.Store(int64(usual))
	}
	if waits := l.waits.Load(); waits != nil && !late {
		waits.add(at, took)
	}
}

// outrun adds an attempt that its hedge has overtaken: for what it would have
// needed, what it had is the lower bound. Left out, it would be taken for one that
// is like the others, and ever more would be hedged.
func (l *latency) outrun(at time.Time, had time.Duration) {
	if waits := l.waits.Load(); waits != nil {
		waits.add(at, had)
	}
}

// quantile is the time within which the share q of the attempts are answered that
// are hedged when they take longer; it is false while too few are known.
func (l *latency) quantile(q float64) (d time.Duration, known bool) {
	waits := l.waits.Load()
	if waits == nil {
		l.waits.CompareAndSwap(nil, new(histogram))
		return 0, false
	}
	d, n := waits.quantile(q)
	return d, n >= warm
}

// add counts one time, and returns how many the epoch has.
func (h *histogram) add(at time.Time, took time.Duration) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rotate(at)
	h.now.count++
	h.now.longest = max(h.now.longest, took)
	h.now.buckets[bucketOf(took)]++
	return h.now.count
}

func (h *histogram) rotate(at time.Time) {
	age := at.Sub(h.began)
	switch {
	case h.began.IsZero():
		h.began = at
	case age > 2*epochLongest: // nobody called for long
		h.began, h.now, h.old = at, epoch{}, epoch{}
	case age > epochLongest, age >= epochLength && h.now.count >= epochAnswers:
		h.began, h.now, h.old = at, epoch{}, h.now
	}
}

// quantile is the bound below which the share q of the times were, and how many
// are known. Of few it is the longest.
func (h *histogram) quantile(q float64) (d time.Duration, known int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.now.count + h.old.count
	longest := max(h.now.longest, h.old.longest)
	if n < warm {
		return longest, n
	}
	rest := n - int(math.Ceil(q*float64(n)))
	for i := latencyBuckets - 1; i >= 0; i-- {
		rest -= int(h.now.buckets[i] + h.old.buckets[i])
		if rest < 0 {
			return min(upperBound(i), longest), n
		}
	}
	return longest, n
}

func bucketOf(d time.Duration) int {
	us := float64(d) / float64(time.Microsecond)
	if us <= 1 {
		return 0
	}
	return min(int(math.Log(us)/math.Log(latencyGrowth))+1, latencyBuckets-1)
}

func upperBound(bucket int) time.Duration {
	return time.Duration(math.Pow(latencyGrowth, float64(bucket)) * float64(time.Microsecond))
}
