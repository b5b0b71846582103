package hystrix

import (
	"net/http"
	"sync"

	hystrixgo "github.com/afex/hystrix-go/hystrix"
)

// Stream shows hystrix-go's circuits to Hystrix' dashboard, once a second, as
// server-sent events: serve it as /hystrix.stream. Give [WithDashboard] to the Mirror,
// or it shows circuits that are open and no traffic. Make one with NewStream. It is safe
// for concurrent use.
type Stream struct {
	handler *hystrixgo.StreamHandler
	closed  chan struct{}
	close   sync.Once
}

// NewStream starts a Stream, which the caller closes.
func NewStream() *Stream {
	s := &Stream{handler: hystrixgo.NewStreamHandler(), closed: make(chan struct{})}
	s.handler.Start()
	return s
}

// Close ends all streams, which would keep a server from stopping: give it to
// [http.Server.RegisterOnShutdown]. It may be called more than once.
func (s *Stream) Close() {
	s.close.Do(func() {
		close(s.closed)
		s.handler.Stop()
	})
}

// ServeHTTP streams until the client leaves, or Close is called.
func (s *Stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	flusher, ok := w.(http.Flusher)
	if !ok {
		http.Error(w, "this connection cannot stream", http.StatusInternalServerError)
		return
	}
	gone, left := make(chan bool, 1), make(chan struct{})
	defer close(left)
	go func() {
		select {
		case <-r.Context().Done():
		case <-s.closed:
		case <-left:
		}
		gone <- true
	}()
	s.handler.ServeHTTP(stoppable{w, flusher, gone}, r)
}

// stoppable tells hystrix-go, which knows of no context, when to end.
type stoppable struct {
	http.ResponseWriter
	http.Flusher

	gone <-chan bool
}

// CloseNotify implements http.CloseNotifier, which hystrix-go asks for.
func (s stoppable) CloseNotify() <-chan bool { return s.gone }
