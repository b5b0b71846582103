package page

import (
	"time"

	"github.com/oncemore-dev/oncemore/breaker"
)

// circuit is that of one instance.
type circuit struct {
	state breaker.State
	// since is when it was last ejected, or came back; a probe changes nothing of it.
	since time.Time
}

// circuits are those of the instances that were ever ejected, by address. Make one with
// make.
type circuits map[string]circuit

// change follows a transition, and tells whether the instance was ejected by it.
func (c circuits) change(t breaker.Transition) (ejected bool) {
	was, known := c[t.Address]
	if !known && len(c) >= mostInstances {
		return false
	}
	is := circuit{state: t.To, since: was.since}
	ejected = t.From == breaker.Closed && t.To != breaker.Closed
	if ejected || t.To == breaker.Closed {
		is.since = t.At
	}
	c[t.Address] = is
	return ejected
}
