package httpguard

import (
	"bufio"
	"bytes"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// recorder is the handler's http.ResponseWriter. It holds the response back until
// the guard has recorded it; when the handler flushes, takes the connection over,
// or writes more than the limit, the response goes to the client at once, and its
// body is not kept. Like net/http's own it is for one goroutine at a time.
type recorder struct {
	client http.ResponseWriter
	limit  int
	before http.Header // what was set when the handler began
	header http.Header // the handler's

	status  int         // 0 until the header is written
	sent    http.Header // the header when it was written
	body    bytes.Buffer
	dropped string // why the body is not kept
	started bool   // the client has the header
	taken   bool   // the handler took the connection over
	held    []byte // the last byte written: without it no client takes the response for whole
}

func newRecorder(client http.ResponseWriter, limit int) *recorder {
	before := client.Header().Clone()
	header := before.Clone()
	if header == nil {
		header = make(http.Header)
	}
	return &recorder{client: client, limit: limit, before: before, header: header}
}

// Header returns the handler's header. What is set in it after the header is
// written is a trailer, if it was declared as one.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader fixes status and header. A status from 100 to 199, apart from 101,
// is sent at once and is not the response.
func (r *recorder) WriteHeader(status int) {
	switch {
	case r.status != 0 || r.taken:
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		putHeader(r.client, r.header)
		r.client.WriteHeader(status)
	default:
		r.status, r.sent = validStatus(status), r.header.Clone()
	}
}

// Write keeps p for the client, or sends it once the response has started.
func (r *recorder) Write(p []byte) (int, error) {
	if r.taken {
		return 0, http.ErrHijacked
	}
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(r.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if !r.started && r.body.Len()+len(p) > r.limit {
		if err := r.start("it is larger than what is kept"); err != nil {
			return 0, err
		}
	}
	if !r.started {
		return r.body.Write(p)
	}
	return len(p), r.send(p)
}

// bodyAllowed is as in net/http.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// start gives the client what there is of the response.
func (r *recorder) start(why string) error {
	if r.started {
		return nil
	}
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.started, r.dropped = true, why
	putHeader(r.client, r.sent)
	r.client.WriteHeader(r.status)
	body := r.body.Bytes()
	r.body = bytes.Buffer{}
	return r.send(body)
}

// send writes all but the last byte of p, and what was held back before.
func (r *recorder) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if err := r.sendHeld(); err != nil {
		return err
	}
	r.held = append(r.held, p[len(p)-1])
	_, err := r.client.Write(p[:len(p)-1]) //nolint:gosec // what the handler answers is its own
	return err
}

func (r *recorder) sendHeld() error {
	if len(r.held) == 0 {
		return nil
	}
	_, err := r.client.Write(r.held) //nolint:gosec // as in send
	r.held = r.held[:0]
	return err
}

// putHeader makes the header of w the given one.
func putHeader(w http.ResponseWriter, header http.Header) {
	clear(w.Header())
	maps.Copy(w.Header(), header)
}

// sayUnsettled tells the client that no record is kept of the response, if it has not
// begun: the handler's, or the one that is given in its place.
func (r *recorder) sayUnsettled() {
	if r.started || r.taken {
		return
	}
	if r.sent != nil {
		r.sent.Set(idempotency.HeaderUnsettled, "true")
	}
	r.client.Header().Set(idempotency.HeaderUnsettled, "true")
}

// finish gives the client the rest of the response, or all of it.
func (r *recorder) finish() {
	if r.taken {
		return
	}
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	err := r.sendHeld()
	if !r.started {
		putHeader(r.client, r.sent)
		r.client.WriteHeader(r.status)
		if r.body.Len() > 0 {
			_, err = r.client.Write(r.body.Bytes())
		}
	}
	if err == nil { // else there is nobody to tell
		r.putTrailers()
	}
}

// putTrailers sets the trailers that the handler has declared, or named so.
func (r *recorder) putTrailers() {
	for _, names := range r.sent["Trailer"] {
		for name := range strings.SplitSeq(names, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values, ok := r.header[name]; ok {
				r.client.Header()[name] = values
			}
		}
	}
	for name, values := range r.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			r.client.Header()[name] = values
		}
	}
}

// response returns what is recorded.
func (r *recorder) response(o *Options) Response {
	if r.status == 0 && !r.taken {
		r.WriteHeader(http.StatusOK)
	}
	kept := Response{Status: r.status, Header: o.replayable(r.sent, r.before), Dropped: r.dropped}
	if r.dropped == "" && r.body.Len() > 0 {
		kept.Body = r.body.Bytes()
	}
	return kept
}

// Unwrap lets [http.ResponseController] reach deadlines and full duplex.
func (r *recorder) Unwrap() http.ResponseWriter { return r.client }

// Flush is FlushError without the error.
func (r *recorder) Flush() {
	if err := r.FlushError(); err != nil {
		return // the interface has no place for it
	}
}

// FlushError sends what there is of the response: from now on it is streamed, and
// its body not kept.
func (r *recorder) FlushError() error {
	switch {
	case r.taken:
		return http.ErrHijacked
	case !offers[http.Flusher](r.client) && !offers[interface{ FlushError() error }](r.client):
		return http.ErrNotSupported
	}
	if err := r.start("it was streamed"); err != nil {
		return err
	}
	if err := r.sendHeld(); err != nil {
		return err
	}
	return http.NewResponseController(r.client).Flush()
}

// offers tells whether w, or what it wraps, implements T.
func offers[T any](w http.ResponseWriter) bool {
	if _, ok := w.(T); ok {
		return true
	}
	unwrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
	return ok && offers[T](unwrapper.Unwrap())
}

// Hijack takes the connection over, if it can be: the guard no longer sees what
// the handler answers.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !offers[http.Hijacker](r.client) {
		return nil, nil, http.ErrNotSupported
	}
	if r.status != 0 { // as net/http, which sends what was written
		if err := r.start("it was streamed"); err != nil {
			return nil, nil, err
		}
		if err := r.sendHeld(); err != nil {
			return nil, nil, err
		}
	}
	conn, rw, err := http.NewResponseController(r.client).Hijack()
	if err == nil {
		r.taken, r.dropped = true, "the handler took the connection over"
	}
	return conn, rw, err
}

// Push is for HTTP/2, where the server and the client support it.
func (r *recorder) Push(target string, options *http.PushOptions) error {
	if pusher, ok := r.client.(http.Pusher); ok {
		return pusher.Push(target, options)
	}
	return http.ErrNotSupported
}

// CloseNotify is for frameworks that still ask for it, gin among them. Where the
// server cannot tell, the channel never receives.
func (r *recorder) CloseNotify() <-chan bool {
	if notifier, ok := r.client.(http.CloseNotifier); ok { //nolint:staticcheck // deprecated, and in use
		return notifier.CloseNotify()
	}
	return nil
}
