package breaker

import "strconv"

// Event is what an attempt showed of the address it was made to. The zero
// value is Ignored.
type Event uint8

const (
	// Ignored is no evidence either way, such as a call its caller gave up
	// before the address had what it usually needs.
	Ignored Event = iota
	// Success is any answer of a living instance, an application's error
	// included.
	Success
	// Refused is a dial that was refused: nothing listens there. It weighs
	// what WithRefusedWeight says.
	Refused
	// Unreachable is a dial that ran out of its time. Nothing was sent, but
	// unlike a refusal it may be the network's fault or the caller's own: it
	// weighs 1, and Open does not call the address refused.
	Unreachable
	// Broken is a connection that broke after the send began.
	Broken
	// Timeout is an attempt that ran out of its time.
	Timeout
	// Outrun is an attempt that another one of the same call overtook, although
	// it had at least the time that the endpoint usually takes. It weighs 1, but
	// opens a circuit only when the address has answered nothing for at least
	// 250 ms, counted from the report of the first of the failures in a row: a
	// frozen instance is ejected long before its calls time out, and one that is
	// merely slow keeps answering some calls and is spared.
	Outrun
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
	case Unreachable:
		return "unreachable"
	case Broken:
		return "broken"
	case Timeout:
		return "timeout"
	case Outrun:
		return "outrun"
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
