package wrapper

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// latency estimates what an endpoint has recently needed for an answer, in a
// histogram of buckets 12.5 % apart, over the last one to two epochs. An epoch
// has lasted five seconds and 128 answers, or half a minute. The zero value has
// seen nothing. It is safe for concurrent use.
type latency struct {
	mu       sync.Mutex
	began    time.Time
	now, old epoch

	estimate atomic.Int64 // of usual, in nanoseconds
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

// observe adds one answer. The estimate follows the first answers at once, and
// then a few at a time.
func (l *latency) observe(at time.Time, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rotate(at)
	l.now.count++
	l.now.longest = max(l.now.longest, took)
	l.now.buckets[bucketOf(took)]++
	if n := l.now.count; n < warm || n%estimateEvery == 0 {
		l.estimate.Store(int64(l.quantile(usually)))
	}
}

func (l *latency) rotate(at time.Time) {
	age := at.Sub(l.began)
	switch {
	case l.began.IsZero():
		l.began = at
	case age > 2*epochLongest: // nobody called for long
		l.began, l.now, l.old = at, epoch{}, epoch{}
	case age > epochLongest, age >= epochLength && l.now.count >= epochAnswers:
		l.began, l.now, l.old = at, epoch{}, l.now
	}
}

// quantile is the bound below which the share q of the answers were. The latency
// must be locked.
func (l *latency) quantile(q float64) time.Duration {
	n := l.now.count + l.old.count
	longest := max(l.now.longest, l.old.longest)
	if n < warm {
		return longest
	}
	rest := n - int(math.Ceil(q*float64(n)))
	for i := latencyBuckets - 1; i >= 0; i-- {
		rest -= int(l.now.buckets[i] + l.old.buckets[i])
		if rest < 0 {
			return min(upperBound(i), longest)
		}
	}
	return longest
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
