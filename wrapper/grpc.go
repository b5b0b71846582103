package wrapper

import (
	"context"
	"reflect"
	"slices"

	merrors "go-micro.dev/v4/errors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// grpcAnswer is where grpc leaves, from this side of the wire, what became of
// an attempt. On grpc an error's text proves nothing: a handler that relays its
// own refused dial answers in the words of a dial refused here.
//
// grpc fills in the peer once the request has a stream to it, so an attempt
// that ended without one sent nothing. That holds while grpc does not retry by
// itself, which it does only where a service config asks it to.
type grpcAnswer struct {
	peer            peer.Peer
	header, trailer metadata.MD
}

func (a *grpcAnswer) options() []grpc.CallOption {
	return []grpc.CallOption{grpc.Peer(&a.peer), grpc.Header(&a.header), grpc.Trailer(&a.trailer)}
}

// testify adds what grpc saw of an attempt that ended with err. go-micro's
// client does not wait for grpc when the time is up, and says 408 then: grpc
// may still be writing, and is not asked.
func (a *grpcAnswer) testify(ev *retryfunc.Evidence, err error) {
	if a == nil || merrors.FromError(err).Code == 408 {
		return
	}
	ev.Unsent = a.peer.Addr == nil
	ev.Answered = len(a.header) > 0 || len(a.trailer) > 0
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
	return append(slices.Clip(theirs), c.answer.options()...)
}

func isGRPCOptionsKey(key any) bool {
	t := reflect.TypeOf(key)
	return t != nil && t.Name() == "grpcCallOptions" && t.PkgPath() == "github.com/go-micro/plugins/v4/client/grpc"
}
