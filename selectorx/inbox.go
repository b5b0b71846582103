package selectorx

import (
	"sync"

	"go-micro.dev/v4/registry"
)

// mostEvents bounds what is kept for a feed that is behind: beyond it, it asks the
// registry for all nodes.
const mostEvents = 10_000

// inbox holds events until the feed takes them. To put one in never waits.
type inbox struct {
	ready chan struct{} // has a value while there is something to take

	mu     sync.Mutex
	events []*registry.Result
	missed bool // there were others
}

func newInbox() inbox { return inbox{ready: make(chan struct{}, 1)} }

func (i *inbox) put(event *registry.Result) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.events) < mostEvents {
		i.events = append(i.events, event)
	} else {
		i.missed = true
	}
	i.signal()
}

// miss notes that events may have been missed.
func (i *inbox) miss() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.missed = true
	i.signal()
}

func (i *inbox) signal() {
	select {
	case i.ready <- struct{}{}:
	default:
	}
}

func (i *inbox) take() (events []*registry.Result, missed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	events, missed = i.events, i.missed
	i.events, i.missed = nil, false
	return events, missed
}
