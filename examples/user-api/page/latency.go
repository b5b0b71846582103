package page

import (
	"slices"
	"time"
)

const (
	// shownSeconds is how far back the plot goes.
	shownSeconds = 120
	// mostSamples is how many calls of one second the median is taken of.
	mostSamples = 500
)

// point is what the plot shows of the calls that ended in one second.
type point struct {
	Second  int64   `json:"second"`
	Calls   int     `json:"calls"`
	Failed  int     `json:"failed"`
	Median  float64 `json:"median_millis"`
	Slowest float64 `json:"slowest_millis"`
}

// latency is that of the last calls, by the second in which they ended. The zero value
// knows of none.
type latency struct {
	ring [shownSeconds]struct {
		point

		samples []float64
	}
}

func (l *latency) add(took time.Duration, failed bool, now time.Time) {
	second := now.Unix()
	s := &l.ring[second%shownSeconds]
	if s.Second != second {
		s.point, s.samples = point{Second: second}, s.samples[:0]
	}
	s.Calls++
	if failed {
		s.Failed++
	}
	s.Slowest = max(s.Slowest, millis(took))
	if len(s.samples) < mostSamples {
		s.samples = append(s.samples, millis(took))
	}
}

// from returns the points of a second and later, oldest first.
func (l *latency) from(second int64, now time.Time) []point {
	first := max(second, now.Unix()-shownSeconds+1)
	points := make([]point, 0, shownSeconds)
	for at := first; at <= now.Unix(); at++ {
		s := &l.ring[at%shownSeconds]
		if s.Second != at {
			continue
		}
		slices.Sort(s.samples)
		s.Median = s.samples[len(s.samples)/2]
		points = append(points, s.point)
	}
	return points
}
