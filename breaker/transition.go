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
	// At is when it changed, on the Set's own clock.
	At time.Time
	// NextProbe is when the next sleep window begins, which grants a probe. It
	// is zero when the circuit closed.
	NextProbe time.Time
}
