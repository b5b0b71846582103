package wrapper

import (
	"strconv"
	"strings"
	"time"
)

// ration is what one attempt may use up, which travels with it, under a name of its own
// (idempotency.HeaderAttemptTime) or, on mucp, behind the attempt's identity:
//
//	850ms; spare=1; path=2
//
// Its time is relative, so that no clock matters. The other two keep a chain of
// services in which nothing answers from asking again at each of its hops: of all the
// attempts that lateness alone brings forth, one tree of calls makes as many as one
// call would.
type ration struct {
	known bool // there is a time
	time  time.Duration
	// limited: no more than spare attempts may be begun beside others in all that is
	// called for this attempt. Where it is not limited, its caller begins none itself.
	limited bool
	spare   int
	// path is which of its caller's attempts that run at the same time it is: 0 for the
	// first. What is called along two paths is called on different instances.
	path int
}

// String is the ration as it travels.
func (r ration) String() string {
	var room [64]byte
	return string(r.appendTo(room[:0]))
}

func (r ration) appendTo(text []byte) []byte {
	text = appendTime(text, max(r.time, time.Millisecond))
	if r.limited {
		text = strconv.AppendInt(append(text, "; spare="...), int64(r.spare), 10)
	}
	if r.path > 0 {
		text = strconv.AppendInt(append(text, "; path="...), int64(r.path), 10)
	}
	return text
}

// appendTime writes a time without allocating for it, as time.Duration's String would.
func appendTime(text []byte, d time.Duration) []byte {
	if us := d.Microseconds(); us%1000 != 0 {
		return append(strconv.AppendInt(text, us, 10), "us"...)
	}
	return append(strconv.AppendInt(text, d.Milliseconds(), 10), "ms"...)
}

// parseRation reads a ration. What it does not understand says nothing: a request is
// not refused for that.
func parseRation(text string) ration {
	if text == "" {
		return ration{}
	}
	first, rest, more := strings.Cut(text, ";")
	left, err := time.ParseDuration(strings.TrimSpace(first))
	if err != nil {
		return ration{}
	}
	r := ration{known: true, time: left}
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		n, err := strconv.ParseUint(value, 10, 16)
		switch {
		case err != nil:
		case name == "spare":
			r.limited, r.spare = true, int(n)
		case name == "path":
			r.path = int(n)
		}
	}
	return r
}
