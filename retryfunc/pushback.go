package retryfunc

import (
	"math"
	"strconv"
	"time"
)

// TrailerPushback is grpc's trailer in which a server says when to try again, or that
// nobody should: see "Pushback" in gRFC A6, "gRPC Retry Design".
const TrailerPushback = "grpc-retry-pushback-ms"

// ParsePushback reads the values of [TrailerPushback]: milliseconds to wait before the
// next attempt. A negative number, what is none, and more than one value say not to
// try again. Without a value nothing is said.
func ParsePushback(values []string) (after time.Duration, noRetry bool) {
	if len(values) == 0 {
		return 0, false
	}
	ms, err := strconv.ParseInt(values[0], 10, 32)
	if err != nil || ms < 0 || len(values) > 1 {
		return 0, true
	}
	return time.Duration(ms) * time.Millisecond, false
}

// FormatPushback returns the value of [TrailerPushback] that says what m says; empty
// where that is nothing.
func FormatPushback(m Mark) string {
	switch {
	case m.NoRetry || m.Kind == MarkFailed:
		return "-1"
	case m.RetryAfter <= 0:
		return ""
	}
	ms := math.Ceil(float64(m.RetryAfter) / float64(time.Millisecond))
	return strconv.FormatInt(int64(min(ms, math.MaxInt32)), 10)
}
