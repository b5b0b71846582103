package retryfunc

import (
	"runtime"
	"strings"
)

const (
	mucpCaller   = mucpPackage + ".(*rpcClient)."
	grpcCaller   = grpcPackage + "."
	pluginCaller = "github.com/go-micro/plugins/v4/client/"
)

// callerOr names the go-micro client that is nearest on this goroutine's stack,
// which is the one that asks the policy, or fallback when there is none. It
// costs microseconds, and only for failed attempts of clients that say nothing
// of themselves. An unknown plugin is "".
func callerOr(fallback string) string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, mucpCaller):
			return "mucp"
		case strings.HasPrefix(frame.Function, grpcCaller):
			return "grpc"
		case strings.HasPrefix(frame.Function, pluginCaller):
			return ""
		case !more:
			return fallback
		}
	}
}
