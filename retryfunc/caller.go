package retryfunc

import (
	"runtime"
	"strings"
)

// callerOr names the go-micro client that is nearest on this goroutine's stack,
// which is the one that asks the policy, or fallback when there is none. It
// costs microseconds, and only for failed attempts of clients that say nothing
// of themselves.
func callerOr(fallback string) string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if name, ok := clientNamed(frame.Function); ok {
			return name
		}
		if !more {
			return fallback
		}
	}
}

// clientNamed reports whether function belongs to a go-micro client, and to
// which: "" is a plugin of which nothing is known.
func clientNamed(function string) (name string, ok bool) {
	switch {
	case strings.HasPrefix(function, mucpPackage+".(*rpcClient)."):
		return "mucp", true
	case strings.HasPrefix(function, grpcPackage+"."):
		return "grpc", true
	default:
		return "", strings.Contains(function, "go-micro/plugins/") && strings.Contains(function, "client/")
	}
}
