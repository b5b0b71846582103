package wrapper

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	frame "go-micro.dev/v4/codec/bytes"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// transport is a kind of go-micro client, by the name that it gives itself. All
// that depends on one is in this file.
type transport string

const (
	overMucp transport = "mucp"
	overGRPC transport = "grpc"
	overHTTP transport = "http"
)

// grace is how much longer than the call the mucp client may wait. Its own
// timeout closes a connection that its reader may be using; the call's end, or
// the reply, comes first.
const grace = 2 * time.Second

// longest bounds the timeouts handed to go-micro, whose arithmetic overflows
// above some 292 years.
const longest = 365 * 24 * time.Hour

// oneAttempt is the number of retries that makes a client try once.
func (t transport) oneAttempt() int {
	if t == overHTTP {
		return 1 // it counts attempts, and with 0 returns nil without a call
	}
	return 0
}

// selectOptions are those that the client adds to a selection of its own.
func (t transport) selectOptions() []selector.SelectOption {
	if t == overHTTP {
		return []selector.SelectOption{selector.WithFilter(selector.FilterLabel("protocol", "http"))}
	}
	return nil
}

// timedOut is what the client itself answers when its caller's context ends.
func (t transport) timedOut(why error) error {
	if t == overMucp {
		return merrors.Timeout("go.micro.client", "call timeout: %v", why)
	}
	return merrors.Timeout("go.micro.client", "%v", why)
}

// isMicros tells whether a client is one of go-micro's own, with no wrapper around it.
func isMicros(c client.Client) bool {
	switch reflect.TypeOf(c).String() {
	case "*client.rpcClient", "*grpc.grpcClient", "*http.httpClient":
		return true
	default:
		return false
	}
}

// wireOf tells which client's own wire next is, past all wrappers: only there is
// it known how a reply is decoded. It is empty for anything else.
func wireOf(next client.CallFunc) transport {
	f := runtime.FuncForPC(reflect.ValueOf(next).Pointer())
	if f == nil {
		return ""
	}
	switch f.Name() {
	case "go-micro.dev/v4/client.(*rpcClient).call-fm":
		return overMucp
	case "github.com/go-micro/plugins/v4/client/grpc.(*grpcClient).call-fm":
		return overGRPC
	case "github.com/go-micro/plugins/v4/client/http.(*httpClient).call-fm":
		return overHTTP
	default:
		return ""
	}
}

// setTimeouts hands the client what the attempt may take, and what its dial may.
func setTimeouts(o *client.CallOptions, attempt, dial time.Duration) {
	attempt = min(attempt, longest)
	dial = min(dial, attempt)
	o.RequestTimeout = attempt
	o.ConnectionTimeout = attempt + grace
	if o.DialTimeout <= 0 || o.DialTimeout > dial {
		o.DialTimeout = dial
	}
}

// MetadataServer is the key of the node metadata under which a wrapped server
// announces that it keeps the metadata of a call from its handlers: what an attempt
// has left, too, from version 2 on.
const MetadataServer = "oncemore"

// serverVersion is what servers announce under MetadataServer.
const serverVersion = "2"

// requestIDs gives the attempts of one client identities of their own.
//
// go-micro's mucp server tells the requests on a connection apart by this
// identity. Without one it looks for another header in the wrong case and takes
// them all for one: a request that follows another on a pooled connection may
// then fall into what is left of its predecessor, and is never executed: about
// 6 of 100,000 on healthy servers, and many more on a loaded machine.
//
// Only a server that announces MetadataServer gets one, because a plain one
// would pass it on in its own calls.
type requestIDs struct{ last atomic.Uint64 }

// appendRequestID writes the identity of the attempt about to be sent to node, if it has one.
func (c *retryClient) appendRequestID(text []byte, node *registry.Node) []byte {
	if c.transport != overMucp || node.Metadata[MetadataServer] == "" && !c.trusted {
		return text
	}
	return strconv.AppendUint(append(text, "oncemore-"...), c.requests.last.Add(1), 36)
}

// dialing is what this side of the wire sees of one attempt: whether anything
// was sent, and whether the peer answered. Of nil nothing is known.
type dialing struct {
	over    transport
	attempt *attempt    // asked whether it may be sent when there is a connection; nil: it may
	asked   atomic.Bool // the client looks for a connection, and will say when it has one
	late    atomic.Bool // it was given up because it took too long

	state  atomic.Uint32
	mu     sync.Mutex
	cancel context.CancelCauseFunc // of the attempt, and for the call, which may end before it; nil before it can be
	grpc   grpcAnswer

	request outgoing // what is sent, where it is not the caller's own request
	body    frame.Frame
}

// The states of a dial.
const (
	dialPending uint32 = iota
	dialDone           // there is a connection to send on
	dialGivenUp        // there was none in time; nothing will be sent any more
)

// newDialing watches a dial of an attempt over the wire given; nil where it is not
// known what the wire will say of it. On grpc it says so to whoever passes its options on.
func (c *retryClient) newDialing(over transport, a *attempt) *dialing {
	if over == "" && c.transport == overGRPC {
		over = overGRPC
	}
	if over == "" {
		return nil
	}
	var d *dialing
	if a != nil && a.takes(&a.dialUsed) {
		d = &a.dial
	} else {
		d = new(dialing)
	}
	d.over, d.attempt = over, a
	d.asked.Store(over == overMucp)
	return d
}

// connected notes that there is a connection to send on. It is false where the
// attempt must not be sent.
func (d *dialing) connected() bool {
	if d.state.Load() == dialPending && d.attempt != nil && !d.attempt.maySend() {
		d.state.CompareAndSwap(dialPending, dialGivenUp)
	}
	return d.state.CompareAndSwap(dialPending, dialDone) || d.state.Load() == dialDone
}

// pending tells whether there is no connection yet.
func (d *dialing) pending() bool {
	return d != nil && d.asked.Load() && d.state.Load() == dialPending
}

// giveUp ends a dial, and tells whether nothing was sent.
func (d *dialing) giveUp() bool {
	if d == nil || !d.asked.Load() {
		return false
	}
	return d.state.CompareAndSwap(dialPending, dialGivenUp) || d.state.Load() == dialGivenUp
}

// expire ends an attempt whose dial has taken too long.
func (d *dialing) expire() {
	if d.giveUp() {
		d.late.Store(true)
		d.stop(errDialTimeout)
	}
}

// stoppable returns the context of an attempt that stop ends.
func (d *dialing) stoppable(ctx context.Context) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, d.cancel = context.WithCancelCause(ctx)
	return ctx
}

// stop ends the attempt, if there is a dial to be watched.
func (d *dialing) stop(cause error) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel(cause)
	}
}

// testify adds to the evidence what was seen of an attempt that has failed, and
// returns its error. returned says that the client has returned what its own wire
// did, with no wrapper in between, and has not left it alone.
func (d *dialing) testify(ev *retryfunc.Evidence, err error, returned bool) error {
	if d == nil {
		return err
	}
	ev.Unsent = d.giveUp()
	if returned && d.over == overGRPC {
		d.grpc.testify(ev)
	}
	if d.late.Load() {
		return errDialTimeout
	}
	return err
}

// hasReturned tells whether the wire has done with an attempt when its client
// returns, which leaves it alone when its context ends.
func (t transport) hasReturned(ctx context.Context) bool { return t != "" && ctx.Err() == nil }

// watch has the client say when it has a connection, until unwatch. A context that ends
// with the attempt already needs no end of its own.
func (d *dialing) watch(ctx context.Context, o *client.CallOptions, ends bool) context.Context {
	if d == nil || d.over == overMucp { // which asks for the body
		return ctx
	}
	if d.over == overGRPC {
		o.Context = withGRPCOptions(o.Context, d)
	} else {
		ctx = httptrace.WithClientTrace(ctx, d.trace())
	}
	if ends {
		return ctx
	}
	return d.stoppable(ctx)
}

// unwatch ends the context of an attempt that has ended.
func (d *dialing) unwatch() {
	if d != nil && d.over != overMucp {
		d.stop(context.Canceled)
	}
}

// trace has net/http say when it has a connection. It sends then, whatever is said to
// it; on a connection that was closed it sends nothing.
func (d *dialing) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { d.asked.Store(true) },
		GotConn: func(got httptrace.GotConnInfo) {
			if !d.connected() {
				_ = got.Conn.Close() // it is the attempt's that must not be sent, and of no use to anybody
			}
		},
	}
}

// errDialTimeout ends an attempt that has no connection.
var errDialTimeout = merrors.New("go.micro.client", "connection error: no connection in time", 408)

// timeWasUp tells whether err is the end of a dial that had no more time, which is
// no refusal: nothing says that nobody listens there.
func timeWasUp(err error) bool {
	e, ok := merrors.As(err)
	if !ok {
		return false
	}
	return e.Code == http.StatusRequestTimeout || strings.HasSuffix(e.Detail, "i/o timeout") ||
		strings.HasSuffix(e.Detail, "context deadline exceeded") || strings.HasSuffix(e.Detail, "context canceled")
}

// grpcAnswer is where grpc leaves, from this side of the wire, what became of
// an attempt. On grpc an error's text proves nothing: a handler that relays its
// own refused dial answers in the words of a dial refused here.
//
// grpc fills in the fields when the call is over, and only if there was a stream
// to a peer: without one, nothing was sent. They may be read only when it has
// returned.
type grpcAnswer struct {
	peer            peer.Peer
	header, trailer metadata.MD
}

func (a *grpcAnswer) testify(ev *retryfunc.Evidence) {
	ev.Unsent = ev.Unsent || a.peer.Addr == nil
	ev.Answered = len(a.header)+len(a.trailer) > 0
}

// withGRPCOptions adds options that report to d to those the caller may have set
// with the grpc plugin's CallOptions, which replace each other.
func withGRPCOptions(ctx context.Context, d *dialing) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return grpcOptions{Context: ctx, dialing: d}
}

// grpcOptions answers for the plugin's private key, recognised by its type, so
// that this package needs no import of the plugin: importing it replaces the
// codecs of every grpc client in the process.
type grpcOptions struct {
	context.Context //nolint:containedctx // a context that adds to one value of another
	dialing         *dialing
}

func (c grpcOptions) Value(key any) any {
	value := c.Context.Value(key)
	if !isGRPCOptionsKey(key) {
		return value
	}
	theirs, _ := value.([]grpc.CallOption)
	d := c.dialing
	d.asked.Store(true)
	sending := sendingCredentials{dialing: d}
	for _, option := range theirs {
		if o, ok := option.(grpc.PerRPCCredsCallOption); ok {
			sending.theirs = o.Creds
		}
	}
	return slices.Concat(theirs, []grpc.CallOption{
		grpc.Peer(&d.grpc.peer), grpc.Header(&d.grpc.header), grpc.Trailer(&d.grpc.trailer),
		grpc.PerRPCCredentials(sending),
	})
}

func isGRPCOptionsKey(key any) bool {
	t := reflect.TypeOf(key)
	return t != nil && t.Name() == "grpcCallOptions" && t.PkgPath() == "github.com/go-micro/plugins/v4/client/grpc"
}

// sendingCredentials add no credentials to the caller's own. grpc asks for them
// when it has a connection and is about to open the stream on it: the one moment
// before anything is sent of which it tells.
type sendingCredentials struct {
	theirs  perRPCCredentials
	dialing *dialing
}

// perRPCCredentials is credentials.PerRPCCredentials.
type perRPCCredentials interface {
	GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error)
	RequireTransportSecurity() bool
}

// GetRequestMetadata refuses to send where the dial was given up.
func (s sendingCredentials) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if !s.dialing.connected() {
		return nil, status.Error(codes.Unavailable, errDialTimeout.Error())
	}
	if s.theirs == nil {
		return map[string]string{}, nil
	}
	return s.theirs.GetRequestMetadata(ctx, uri...)
}

// RequireTransportSecurity is the caller's.
func (s sendingCredentials) RequireTransportSecurity() bool {
	return s.theirs != nil && s.theirs.RequireTransportSecurity()
}
