package wrapper

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
)

// retriedStream is a stream that may run twice, and so is opened on another instance
// where the one it has fails before its first message, or lets its caller wait for
// too long. What was sent is kept until then, and sent there again. An instance that
// is only slow goes on beside the next, and the first message decides to which of
// them the stream is handed over. From there on it is as bare.
//
// Send and Recv may be called at the same time, and Close at any. Whichever of Send
// and Recv waits opens the stream again, one at a time.
type retriedStream struct {
	ctx       context.Context //nolint:containedctx // the stream's own
	client    *retryClient
	wire      streamWire
	limit     int            // of what is kept, in bytes
	request   client.Request // as it is sent again
	stopWatch func() bool    // of the context

	sendMu sync.Mutex // held by Send and CloseSend
	recvMu sync.Mutex // held by Recv

	mu         sync.Mutex
	changed    chan struct{} // closed when anything below changes; nil: nobody waits for it
	opening    *call         // the latest
	kept       []sentMessage
	dropped    int // how many were kept before
	size       int // of what is kept, in bytes
	candidates []*candidate
	latest     *candidate
	chosen     *candidate // to which the stream was handed over
	handOver   bool       // it is to be, to whichever there is
	receives   bool       // a message was asked for
	waiting    int        // calls of Send and Recv
	reopening  bool
	stop       context.CancelFunc // of the reopening
	outcomes   []outcome          // to be reported to the breaker
	err        error              // with which the stream ended before it was handed over
	lastErr    error
	closed     bool
}

// sentMessage is what was sent, or that nothing more will be.
type sentMessage struct {
	encoded []byte
	last    bool
}

// asStream is the stream for the caller: one that is opened again, if it may be.
func (w *watchedStream) asStream() client.Stream {
	if w.request == nil {
		return w
	}
	s := w.call
	r := &retriedStream{
		ctx: s.ctx, client: s.client, wire: w.wire, limit: s.overrides.streamBuffer, request: w.request, opening: s,
	}
	r.latest = &candidate{watchedStream: w, of: r}
	r.candidates = []*candidate{r.latest}
	r.stopWatch = func() bool { return true }
	if r.wire.over == overMucp { // which does not watch it
		r.stopWatch = context.AfterFunc(r.ctx, func() { _ = r.endAll() }) // Recv and Send tell why
	}
	return r
}

// changes is closed when something changes. The stream must be locked.
func (r *retriedStream) changes() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// signal tells those who wait that something has changed. The stream must be locked.
func (r *retriedStream) signal() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Context is that of the stream; see client.Stream.
func (r *retriedStream) Context() context.Context { return r.current().Context() }

// Request is the caller's; see client.Stream. To ask for its codec hands the stream
// over: what is written there is not known.
func (r *retriedStream) Request() client.Request {
	return &streamRequest{r.current().Request(), r}
}

// streamRequest is the request of a stream.
type streamRequest struct {
	client.Request
	stream *retriedStream
}

// Codec writes to the stream.
func (s *streamRequest) Codec() codec.Writer {
	writer, _ := s.stream.Response().Codec().(codec.Writer)
	return writer
}

// Response is that of the instance which the stream is handed over to by that: what
// is read there is not known; see client.Stream.
func (r *retriedStream) Response() client.Response {
	r.mu.Lock()
	r.handOver = true
	r.chooseAny()
	r.mu.Unlock()
	return r.current().Response()
}

// Error is the last one that Send or Recv returned; see client.Stream.
func (r *retriedStream) Error() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastErr
}

// note keeps what Send or Recv returns.
func (r *retriedStream) note(err error) error {
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lastErr = err
	}
	return err
}

func (r *retriedStream) current() *candidate {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cmp.Or(r.chosen, r.latest)
}

// Send sends a message; see client.Stream. It returns when an instance was sent it.
func (r *retriedStream) Send(msg any) error {
	r.sendMu.Lock()
	defer r.sendMu.Unlock()
	if r.isChosen() {
		return r.note(r.sendOn(func(c *candidate) error { return c.Stream.Send(msg) }))
	}
	encoded, err := r.wire.encode(msg)
	if err != nil {
		return r.note(err)
	}
	return r.note(r.sendOrKeep(sentMessage{encoded: encoded}))
}

// CloseSend says that nothing more will be sent; see client.Stream. mucp cannot, and
// returns its error.
func (r *retriedStream) CloseSend() error {
	if r.wire.over == overMucp {
		return r.note(r.current().CloseSend())
	}
	r.sendMu.Lock()
	defer r.sendMu.Unlock()
	return r.note(r.sendOrKeep(sentMessage{last: true}))
}

// Close ends the stream; see client.Stream. It waits for no peer.
func (r *retriedStream) Close() error {
	defer r.reportNodes()
	r.stopWatch()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.endAll()
}

// endAll ends all candidates, and the opening of another.
func (r *retriedStream) endAll() error {
	r.mu.Lock()
	all := r.candidates
	if r.stop != nil {
		r.stop()
	}
	r.signal()
	r.mu.Unlock()
	errs := make([]error, 0, 1)
	for _, c := range all {
		errs = append(errs, c.end())
	}
	return errors.Join(errs...)
}

// Recv receives a message; see client.Stream. On mucp, too, it ends with the context
// of the stream.
func (r *retriedStream) Recv(msg any) error {
	r.recvMu.Lock()
	defer r.recvMu.Unlock()
	c, first, err := r.takeFirst()
	switch {
	case err != nil:
		return r.note(err)
	case first != nil:
		return r.note(r.wire.decode(first.body, msg))
	case r.wire.over == overGRPC:
		return r.note(r.whyEnded(c.watch(c.Stream.Recv(msg))))
	}
	body, err := r.wire.receive(c.Stream)
	if err != nil {
		return r.note(r.endedWith(c, err))
	}
	return r.note(r.wire.decode(body, msg))
}

// endedWith notes that no more can be received: go-micro would wait for the next
// message of a stream that has ended.
func (r *retriedStream) endedWith(c *candidate, err error) error {
	err = r.whyEnded(c.watch(err))
	r.mu.Lock()
	defer r.mu.Unlock()
	c.err = err
	return err
}

// whyEnded is the error of a stream that this side has ended, else err.
func (r *retriedStream) whyEnded(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil || r.wire.over == overGRPC:
		return err
	case r.closed:
		return r.wire.errClosed()
	case r.ctx.Err() != nil:
		return r.wire.ended(r.ctx.Err())
	default:
		return err
	}
}
