package selectorx

import "time"

// Status is what a Flat knows of one service, for people on call and for metrics.
type Status struct {
	Service string
	// Nodes counts the distinct addresses that calls go to.
	Nodes int
	// InFlight counts the attempts on them that were begun with Call.Begin and have
	// not ended.
	InFlight int
	// Seen is when the registry last told all nodes; zero: never. Age is how long
	// ago that was.
	Seen time.Time
	Age  time.Duration
	// Changed is when the snapshot last changed.
	Changed time.Time
	// Err is why the registry could not be asked the last time, nil if it could;
	// WatchErr is why there is no watcher, nil if there is one.
	Err      error
	WatchErr error
	// Kept tells that the registry said that there is no node, and that those are
	// kept that there were: see WithKeep.
	Kept bool
}

// Stale tells that calls go by what the registry told before: it could not be asked the
// last time, or has forgotten all nodes, which are kept for a while.
func (s Status) Stale() bool { return s.Nodes > 0 && (s.Err != nil || s.Kept) }
