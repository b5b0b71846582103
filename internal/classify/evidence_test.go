package classify_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// witness is what grpc tells of one call on this side of the wire. Peer, Header
// and Trailer are written when the call is over, by whichever goroutine ends it,
// and go-micro's client may have returned by then: only where the client itself
// waited for the end are they safe to read. OnFinish may run before they are
// written, or never. Credentials are asked for before anything is sent, and may
// refuse: a call for which nobody asked can be kept from being sent at all.
type witness struct {
	peer            peer.Peer
	header, trailer metadata.MD
	state           atomic.Uint32
	answered        atomic.Bool
}

const (
	stateSent   = 1 // credentials were asked for
	stateSealed = 2 // and will be given no more
)

func newWitness() *witness { return new(witness) }

func (w *witness) options() []grpc.CallOption {
	return []grpc.CallOption{
		grpc.Peer(&w.peer), grpc.Header(&w.header), grpc.Trailer(&w.trailer), grpc.OnFinish(w.finish),
		grpc.PerRPCCredentials(w),
	}
}

// finish knows an answer by its details, which only a peer sends.
func (w *witness) finish(err error) {
	if len(status.Convert(err).Proto().GetDetails()) > 0 {
		w.answered.Store(true)
	}
}

var errSealed = errors.New("sealed")

// GetRequestMetadata is called when there is a connection to send on.
func (w *witness) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if !w.state.CompareAndSwap(0, stateSent) && w.state.Load() == stateSealed {
		return nil, errSealed
	}
	return map[string]string{}, nil
}

func (w *witness) RequireTransportSecurity() bool { return false }

// evidence is all that the caller's own side knows of a call that ended with err.
// Of one that never came to grpc it knows nothing.
func (w *witness) evidence(transport string, asked bool, err error) retryfunc.Evidence {
	ev := retryfunc.Evidence{Client: transport, Service: fixture.DefaultService}
	if transport == fixture.MUCP || !asked {
		return ev
	}
	ev.Answered = w.answered.Load()
	ev.Unsent = w.state.CompareAndSwap(0, stateSealed) || w.state.Load() == stateSealed
	if err == nil || merrors.Parse(err.Error()).Code != http.StatusRequestTimeout {
		ev.Unsent = ev.Unsent || w.peer.Addr == nil
		ev.Answered = ev.Answered || len(w.header)+len(w.trailer) > 0
	}
	return ev
}

// option hands the witness to the grpc plugin by its own CallOptions. Other
// clients take no notice.
func (w *witness) option() client.CallOption { return grpcclient.CallOptions(w.options()...) }

// injected is a context that adds grpc call options to those that the grpc
// plugin would find in it, and knows the plugin's private key by its type: who
// injects need not import the plugin.
type injected struct {
	context.Context

	options []grpc.CallOption
}

func (c injected) Value(key any) any {
	value := c.Context.Value(key)
	if t := reflect.TypeOf(key); t == nil || t.Name() != "grpcCallOptions" || t.PkgPath() != "github.com/go-micro/plugins/v4/client/grpc" {
		return value
	}
	theirs, _ := value.([]grpc.CallOption)
	return slices.Concat(theirs, c.options)
}

func inject(options ...grpc.CallOption) client.CallOption {
	return func(o *client.CallOptions) {
		if o.Context == nil {
			o.Context = context.Background()
		}
		o.Context = injected{Context: o.Context, options: options}
	}
}
