package wrapper

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// grpcAnswer is where grpc leaves, from this side of the wire, what became of
// an attempt. On grpc an error's text proves nothing: a handler that relays its
// own refused dial answers in the words of a dial refused here.
//
// grpc fills in the peer, the header and the trailer when the call is over, and
// only if there was a stream to a peer: without one, nothing was sent. Then it
// says that it has finished. Where it did not say so there is no evidence:
// go-micro's client does not wait for it, and another wrapper may have answered
// in its place.
type grpcAnswer struct {
	peer            peer.Peer
	header, trailer metadata.MD
	saw             atomic.Uint32
}

// What grpc said when it had finished.
const (
	grpcFinished uint32 = 1 << iota
	grpcUnsent
	grpcAnswered
)

func (a *grpcAnswer) options() []grpc.CallOption {
	return []grpc.CallOption{grpc.Peer(&a.peer), grpc.Header(&a.header), grpc.Trailer(&a.trailer), grpc.OnFinish(a.finish)}
}

// finish is called by grpc after it has written the other fields.
func (a *grpcAnswer) finish(error) {
	saw := grpcFinished
	if a.peer.Addr == nil {
		saw |= grpcUnsent
	}
	if len(a.header)+len(a.trailer) > 0 {
		saw |= grpcAnswered
	}
	a.saw.Store(saw)
}

// testify adds what grpc saw of the attempt.
func (a *grpcAnswer) testify(ev *retryfunc.Evidence) {
	if a == nil {
		return
	}
	saw := a.saw.Load()
	ev.Unsent = saw&grpcUnsent != 0
	ev.Answered = saw&grpcAnswered != 0
}

// withGRPCAnswer adds a's options to those the caller may have set with the
// grpc plugin's CallOptions, which replace each other.
func withGRPCAnswer(ctx context.Context, a *grpcAnswer) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return grpcOptions{Context: ctx, answer: a}
}

// grpcOptions answers for the plugin's private key, recognised by its type, so
// that this package needs no import of the plugin: importing it replaces the
// codecs of every grpc client in the process.
type grpcOptions struct {
	context.Context //nolint:containedctx // a context that adds to one value of another
	answer          *grpcAnswer
}

func (c grpcOptions) Value(key any) any {
	value := c.Context.Value(key)
	if !isGRPCOptionsKey(key) {
		return value
	}
	theirs, _ := value.([]grpc.CallOption)
	return slices.Concat(theirs, c.answer.options())
}

func isGRPCOptionsKey(key any) bool {
	t := reflect.TypeOf(key)
	return t != nil && t.Name() == "grpcCallOptions" && t.PkgPath() == "github.com/go-micro/plugins/v4/client/grpc"
}
