package wrapper

import "runtime"

// A goroutine begins with 2 KiB of stack, which is doubled and copied whenever it does
// not suffice, and each time costs a call more than all that the wrapper does. Where much
// more will be needed, the stack is given it in one step, as early as can be: there is
// less to copy then. The idea is that of CockroachDB's pkg/util/growstack. What makes the
// stack grow is the size of a frame, which no caller has filled.

// growStackToSend is for the goroutine in which go-micro makes an attempt.
//
//go:noinline
func growStackToSend(fill bool) {
	if fill {
		var room [5 << 9]byte // 8 KiB in all
		runtime.KeepAlive(&room)
	}
}

// growStackToRecord is for a handler whose executions are recorded.
//
//go:noinline
func growStackToRecord(fill bool) {
	if fill {
		var room [6 << 10]byte // 16 KiB in all
		runtime.KeepAlive(&room)
	}
}
