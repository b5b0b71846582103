package retryfunc

import (
	"runtime"
	"strings"
)

// askingClient names the go-micro client that is nearest on this goroutine's stack,
// which is the one that asks the policy; "" when there is none. It costs
// microseconds, and only for failed attempts of clients that say nothing of
// themselves.
func askingClient() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if name, ok := clientNamed(frame.Function); ok || !more {
			return name
		}
	}
}

// clientNamed reports whether function belongs to a go-micro client, and to
// which: "" is one of which nothing is known. mucp asks from the bodies of Call
// and Stream; what its attempts run, which have goroutines of their own, may ask
// about other clients.
func clientNamed(function string) (name string, ok bool) {
	if method, found := strings.CutPrefix(function, mucpPackage+".(*rpcClient)."); found {
		if method == "Call" || method == "Stream" {
			return "mucp", true
		}
		return "", true
	}
	if strings.HasPrefix(function, grpcPackage+".") {
		return "grpc", true
	}
	return "", strings.Contains(function, "go-micro/plugins/") && strings.Contains(function, "client/")
}
