package breaker

import (
	"testing"
	"time"
)

// TestOutrun tells the story of one address: when each event is reported, and
// after which of them the circuit is open.
func TestOutrun(t *testing.T) {
	type report struct {
		at time.Duration // since the first of the story
		ev Event
	}
	const ms = time.Millisecond
	every := func(step time.Duration, n int, ev Event) (reports []report) {
		for i := range n {
			reports = append(reports, report{time.Duration(i) * step, ev})
		}
		return reports
	}
	const never = -1
	tests := []struct {
		name    string
		opts    []Option
		reports []report
		opens   int // at which report
	}{
		{"frozen, many calls: the first after the silence", nil, every(10*ms, 40, Outrun), 25},
		{"just short of the silence", nil, append(every(10*ms, 25, Outrun), report{minSilence - 1, Outrun}), never},
		{"the silence exactly", nil, append(every(10*ms, 25, Outrun), report{minSilence, Outrun}), 25},
		{"frozen, few calls: the threshold", nil, every(time.Second, 10, Outrun), 4},
		{"another threshold", []Option{WithThreshold(8)}, every(time.Second, 10, Outrun), 7},
		{"threshold 1", []Option{WithThreshold(1)}, every(100*ms, 10, Outrun), 3},
		{"a refused dial weighs more", nil, []report{{0, Refused}, {ms, Outrun}, {minSilence, Outrun}}, 2},
		{
			"any failure may be the one that finds it silent",
			nil, []report{{0, Outrun}, {1, Outrun}, {2, Outrun}, {3, Outrun}, {minSilence, Broken}}, 4,
		},
		{
			"failures alone need no silence",
			nil, []report{{0, Outrun}, {1, Broken}, {2, Broken}, {3, Timeout}, {4, Unreachable}, {5, Failure}}, 5,
		},
		{"silence alone is no failure", nil, []report{{0, Outrun}, {time.Hour, Ignored}, {2 * time.Hour, Ignored}}, never},
		{
			"slow: an answer starts the silence over",
			nil,
			append(every(10*ms, 24, Outrun), report{240 * ms, Success}, report{250 * ms, Outrun}, report{499 * ms, Outrun}),
			never,
		},
		{
			"and the count",
			nil,
			append(every(10*ms, 24, Outrun), report{240 * ms, Success}, report{250 * ms, Outrun}, report{time.Second, Outrun}),
			never,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s := newSet(t, c, tt.opts...)
			began := c.Now()
			opened := never
			for i, r := range tt.reports {
				c.advance(began.Add(r.at).Sub(c.Now()))
				s.Report("a:1", r.ev, began.Add(-time.Second), time.Second)
				if opened == never && isOpen(s, "a:1") {
					opened = i
				}
			}
			if opened != tt.opens {
				t.Errorf("opened at report %d, want %d", opened, tt.opens)
			}
		})
	}
}

// TestSlowAddressesAreSpared: one that answers at least one call in 250 ms stays,
// whatever share of its attempts is outrun.
func TestSlowAddressesAreSpared(t *testing.T) {
	for _, outrun := range []int{1, 2, 5, 10, 24} { // for each answer
		c := newClock()
		s := newSet(t, c)
		for range 1000 {
			for range outrun {
				attempt(s, c, "slow:1", Outrun)
				c.advance(9 * time.Millisecond)
			}
			if isOpen(s, "slow:1") {
				t.Fatalf("ejected with %d attempts outrun for each answer", outrun)
			}
			attempt(s, c, "slow:1", Success)
		}
	}
}

// TestOutrunProbeFails: a probe that is outrun has not shown that the address
// recovered, and needs no silence to say so.
func TestOutrunProbeFails(t *testing.T) {
	c := newClock()
	s := newSet(t, c)
	trip5(s, c, "a:1")
	c.advance(time.Second)
	if !s.Probe("a:1", true) {
		t.Fatal("no probe")
	}
	attempt(s, c, "a:1", Outrun)
	if got := s.Ejected(); len(got) != 1 || got[0].State != Open || got[0].Event != Outrun {
		t.Errorf("after an outrun probe: %+v, want a:1 open because outrun", got)
	}
}
