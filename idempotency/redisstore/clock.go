package redisstore

import (
	"strconv"
	"time"
)

// clock tells roughly what time it is on the server, whose clock may be off from
// the host's. It is for people to read: nothing is decided by it.
type clock struct{ host, server time.Time }

// newClock reads the clock of a server's answer to INFO, which was received just
// now.
func newClock(i info) clock {
	now := time.Now()
	micros, err := strconv.ParseInt(i["server_time_usec"], 10, 64)
	if err != nil {
		return clock{now, now}
	}
	return clock{now, time.UnixMicro(micros)}
}

func (c clock) now() time.Time { return c.server.Add(time.Since(c.host)) }
