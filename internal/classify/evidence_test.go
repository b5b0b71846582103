package classify_test

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// witness is what grpc tells of one call on this side of the wire. Peer,
// Header and Trailer are written when the call is over, by whichever goroutine
// ends it, and go-micro's client may have returned by then; OnFinish runs after
// they were written, so what it stores is safe to read at any time. Until then
// there is no evidence: that no peer is known yet says nothing.
type witness struct {
	peer            peer.Peer
	header, trailer metadata.MD
	finished        chan struct{} // closed by the first OnFinish
	state           atomic.Uint32 // 0 until OnFinish
}

const (
	stateFinished = 1 << iota
	stateUnsent
	stateAnswered
)

func newWitness() *witness { return &witness{finished: make(chan struct{})} }

func (w *witness) options() []grpc.CallOption {
	return []grpc.CallOption{grpc.Peer(&w.peer), grpc.Header(&w.header), grpc.Trailer(&w.trailer), grpc.OnFinish(w.finish)}
}

func (w *witness) finish(error) {
	state := uint32(stateFinished)
	if w.peer.Addr == nil {
		state |= stateUnsent
	}
	if len(w.header) > 0 || len(w.trailer) > 0 {
		state |= stateAnswered
	}
	if w.state.Swap(state) == 0 {
		close(w.finished)
	}
}

// evidence is all that the caller's own side knows. The client returns as soon
// as the time is up, which is when grpc gives up as well: settle waits for that.
func (w *witness) evidence(t *testing.T, transport string, settle bool) retryfunc.Evidence {
	t.Helper()
	ev := retryfunc.Evidence{Client: transport, Service: fixture.DefaultService}
	if transport == fixture.MUCP {
		return ev
	}
	if settle {
		select {
		case <-w.finished:
		case <-time.After(time.Minute):
			t.Error("grpc never finished the call")
		}
	}
	state := w.state.Load()
	ev.Unsent, ev.Answered = state&stateUnsent != 0, state&stateAnswered != 0
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
