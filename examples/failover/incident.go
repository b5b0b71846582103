package main

import "time"

// incident is what befell an instance, and when. The zero value is none.
type incident struct {
	address     string
	from, until time.Time
}

// incidents are those of a plan.
type incidents struct{ death, freeze incident }

// during tells whether the call was under way in the course of the incident.
func (i incident) during(c call) bool {
	return c.began.Before(i.until) && c.began.Add(c.took).After(i.from)
}

// What oncemore promises by default: an instance is ejected after so many
// failures in a row, and then probed once in each window.
const (
	ejectionThreshold = 5
	sleepWindow       = time.Second
)

// mostOnDead is how many attempts may fail on the dead instance: those that
// eject it, those in flight meanwhile, and one probe a window.
func (i incidents) mostOnDead() int {
	return ejectionThreshold + concurrency + int(i.death.until.Sub(i.death.from)/sleepWindow) + 1
}
