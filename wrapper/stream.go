package wrapper

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/oncemore-dev/oncemore/breaker"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// Stream opens a stream, on another instance if one cannot be reached. Only the
// opening is retried: what was sent and received on an open stream is not
// repeated, and a stream carries no idempotency key. It returns a *CallError if
// no stream could be opened.
//
// The loop is the wrapper's own: go-micro's grpc client never retries a stream,
// because it asks its RetryFunc about a nil error.
func (c *retryClient) Stream(ctx context.Context, req client.Request, opts ...client.CallOption) (client.Stream, error) {
	c.budget.Deposit()
	s := newCall(c)
	s.streaming = true
	s.open(ctx, req, opts)
	for count := 0; ; count++ {
		if _, err := s.wait(ctx, req, count); err != nil {
			return nil, s.close(err)
		}
		stream, err := s.openStream(ctx)
		if err == nil {
			return stream, s.close(nil)
		}
		retry, perr := s.decide(ctx, req, count, err)
		if perr != nil {
			err = perr
		}
		if !retry {
			return nil, s.close(err)
		}
	}
}

// applyToStream leaves go-micro one try: the loop is in Stream.
func (s *call) applyToStream(o *client.CallOptions) {
	o.Retries, o.Retry, o.Backoff = s.client.retries(0), neverRetry, noBackoff
	if s.address != "" {
		o.Address = []string{s.address}
	}
	o.SelectOptions = append(append(s.space.selects[:0], o.SelectOptions...), s.funcs.choose)
}

func neverRetry(context.Context, client.Request, int, error) (bool, error) { return false, nil }

func noBackoff(context.Context, client.Request, int) (time.Duration, error) { return 0, nil }

// openStream makes one attempt. Its node is known only from the strategy, or
// chosen here where the caller gave addresses.
func (s *call) openStream(ctx context.Context) (client.Stream, error) {
	made := len(s.attempts)
	if err := s.chooseAddress(ctx); err != nil {
		return nil, err
	}
	stream, err := s.client.Client.Stream(withoutLeaks(ctx), s.req, s.opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.attempts) == made {
		return stream, err // no node was chosen
	}
	s.running--
	a := &s.attempts[len(s.attempts)-1]
	a.ended, a.Duration = true, time.Since(a.began)
	a.Class = s.classify(err, s.openingEvidence(err))
	s.report(a, err)
	if err != nil {
		return nil, err
	}
	return &watchedStream{Stream: stream, call: s, opened: *a}, nil
}

// openingEvidence is what is known of a stream that did not open. grpc does not
// wait for an answer to open one, so that its error means that nothing was
// sent; unless it is a 408, with which go-micro leaves an opening that goes on.
func (s *call) openingEvidence(err error) retryfunc.Evidence {
	ev := s.evidence()
	e, ok := merrors.As(err)
	ev.Unsent = s.client.kind == "grpc" && s.client.stock && ok && e.Code != http.StatusRequestTimeout
	return ev
}

// chooseAddress chooses among the addresses that the caller gave: go-micro
// bypasses every strategy then.
func (s *call) chooseAddress(ctx context.Context) error {
	if len(s.asked.addresses) == 0 {
		return nil
	}
	node := s.among(s.asked.addresses, &registry.Node{})
	s.address = node.Address
	_, err := s.begin(ctx, node, s.req)
	return err
}

// beginOn enters an attempt for every node that next gives.
func (s *call) beginOn(next selector.Next) selector.Next {
	return func() (*registry.Node, error) {
		node, err := next()
		if err == nil {
			_, err = s.begin(s.ctx, node, s.req)
		}
		return node, err
	}
}

// watchedStream tells the breaker when the instance of an open stream dies.
type watchedStream struct {
	client.Stream
	call   *call
	opened attempt
	broken sync.Once
}

// Send sends a message; see client.Stream.
func (w *watchedStream) Send(msg any) error { return w.watch(w.Stream.Send(msg)) }

// Recv receives a message; see client.Stream.
func (w *watchedStream) Recv(msg any) error { return w.watch(w.Stream.Recv(msg)) }

func (w *watchedStream) watch(err error) error {
	if err == nil {
		return nil
	}
	s := w.call
	if s.classify(err, s.evidence()) == retryfunc.Broken {
		w.broken.Do(func() {
			s.client.breaker.Report(w.opened.Address, breaker.Broken, w.opened.began, time.Since(w.opened.began))
		})
	}
	return err
}
