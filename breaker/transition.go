package breaker

import (
	"strconv"
	"time"
)

// State is the state of one address's circuit. The zero value is Closed.
type State uint8

const (
	// Closed lets every call through. An address that was never reported is
	// Closed.
	Closed State = iota
	// Open lets nothing through but a probe.
	Open
	// HalfOpen is Open with a probe under way, or lost.
	HalfOpen
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}

// Transition is one change of one address's circuit.
type Transition struct {
	Address string
	From    State
	To      State
	// Event is what caused the change. It is Ignored where no event did: a
	// probe was granted, or a circuit was forgotten because its address had
	// been idle for minutes or the Set was closed.
	Event Event
	// At is the Set's own clock.
	At time.Time
	// Circuit names the hystrix circuit that shows this address. It is empty
	// when the pool of names is exhausted.
	Circuit string
}
