package breaker

import "strconv"

// Event is what an attempt showed of the address it was made to. The zero
// value is Ignored.
type Event uint8

const (
	// Ignored is no evidence either way, such as a call its caller gave up.
	Ignored Event = iota
	// Success is any answer of a living instance, an application's error
	// included.
	Success
	// Refused is a dial that was refused or timed out: nothing was sent.
	// It counts as much as WithRefusedWeight says.
	Refused
	// Broken is a connection that broke after the send began.
	Broken
	// Timeout is an attempt that ran out of its time.
	Timeout
	// Failure is an internal error that is known to be this instance's own,
	// because another instance answered the same call.
	Failure
)

// String returns the event's name in lower case.
func (e Event) String() string {
	switch e {
	case Ignored:
		return "ignored"
	case Success:
		return "success"
	case Refused:
		return "refused"
	case Broken:
		return "broken"
	case Timeout:
		return "timeout"
	case Failure:
		return "failure"
	}
	return "event(" + strconv.Itoa(int(e)) + ")"
}

// counts tells whether e is evidence against an address. A value that is no
// Event is none.
func (e Event) counts() bool {
	return e >= Refused && e <= Failure
}

// hystrixType is the name hystrix has for e. It counts context_canceled
// neither as a success nor as an error.
func (e Event) hystrixType() string {
	switch e {
	case Success:
		return "success"
	case Timeout:
		return "timeout"
	case Refused, Broken, Failure:
		return "failure"
	default:
		return "context_canceled"
	}
}
