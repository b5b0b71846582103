package wrapper

import (
	"log/slog"
	"runtime"
)

// departure is how a goroutine was left that ran a function of the user's beside its
// caller: by a panic, or, where there is no value, by its end.
type departure struct {
	value any
	stack []byte
}

// again leaves the caller's goroutine as the other was left.
func (d *departure) again() {
	switch {
	case d == nil:
	case d.value != nil:
		panic(d.value) //nolint:forbidigo // it is the user's own
	default:
		runtime.Goexit() // as testing's FailNow does
	}
}

// log tells of a panic where nobody waits any more.
func (d *departure) log() {
	if d != nil && d.value != nil {
		slog.Error("oncemore: a wrapper panicked in an attempt that its call no longer waited for",
			slog.Any("panic", d.value), slog.String("stack", string(d.stack)))
	}
}
