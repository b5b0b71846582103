package page

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oncemore-dev/oncemore/wrapper"
)

// history is what oncemore lately told of calls and instances, within bounds. Make one
// with newHistory. It is safe for concurrent use.
type history struct {
	mu       sync.Mutex
	totals   totals
	calls    calls
	latency  latency
	traffic  traffic
	circuits circuits
	marks    marks
}

func newHistory() *history {
	return &history{traffic: make(traffic), circuits: make(circuits)}
}

// Observe takes note of the end of a call, and of an instance that is ejected or back.
func (h *history) Observe(_ context.Context, e wrapper.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := e.(type) {
	case *wrapper.CallEnded:
		now := time.Now()
		h.totals.add(e)
		h.calls.add(e, now)
		h.latency.add(e.Took, e.Err != nil, now)
		for _, a := range e.Attempts {
			h.traffic.add(a.Address, now)
		}
	case *wrapper.CircuitChanged:
		if h.circuits.change(e.Transition) {
			h.totals.Ejections++
			h.marks.add(mark{At: e.At.UnixMilli(), What: markEjected, Instance: e.Address})
		}
	}
}

// cursor is how far a reader of the history has read.
type cursor struct {
	call uint64
	at   time.Time
}

// read enters in v what happened since, and returns how far that is.
func (h *history) read(v *view, since cursor) cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	v.Now = now.UnixMilli()
	v.Totals = h.totals
	v.Calls = h.calls.after(since.call)
	v.Points = h.latency.from(since.at.Unix(), now)
	v.Marks = h.marks.from(since.at.UnixMilli())
	h.readInstances(v, now)
	return cursor{call: h.calls.made, at: now}
}

// readInstances completes the instances that v has, and adds those that were seen beside
// them.
func (h *history) readInstances(v *view, now time.Time) {
	for _, address := range slices.Sorted(maps.Keys(h.traffic)) {
		if !slices.ContainsFunc(v.Instances, func(i instance) bool { return i.Address == address }) {
			v.Instances = append(v.Instances, instance{Name: address, Address: address})
		}
	}
	all := 0
	for i := range v.Instances {
		one := &v.Instances[i]
		one.Attempts = h.traffic.lately(one.Address, now)
		all += one.Attempts
		c := h.circuits[one.Address]
		one.Circuit = c.state.String()
		if !c.since.IsZero() {
			one.Since = c.since.UnixMilli()
		}
	}
	for i := range v.Instances {
		v.Instances[i].Share = float64(v.Instances[i].Attempts) / float64(max(1, all))
	}
}
