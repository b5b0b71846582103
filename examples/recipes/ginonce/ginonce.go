// Package ginonce runs requests to gin's routes once under their key, with
// package httpguard. Copy it: it is all that gin needs.
//
// To guard a whole engine there is a shorter way, which needs none of it:
//
//	http.ListenAndServe(address, guarded.Wrap(engine))
package ginonce

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/oncemore-dev/oncemore/idempotency/httpguard"
)

// Middleware returns guarded for the routes that use it:
//
//	engine.POST("/tips", ginonce.Middleware(guarded), tip)
//
// What is compressed, logged or authenticated is so by handlers before it.
func Middleware(guarded *httpguard.Middleware) gin.HandlerFunc {
	return func(c *gin.Context) {
		outer, ran := c.Writer, false
		next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ran = true
			c.Request = r
			if w == http.ResponseWriter(outer) { // nothing to run once
				c.Next()
				return
			}
			held := &writer{ResponseWriter: w, outer: outer, status: http.StatusOK, size: -1}
			c.Writer = held
			c.Next()
			held.WriteHeaderNow()
		})
		defer func() { c.Writer = outer }()
		guarded.Wrap(next).ServeHTTP(outer, c.Request)
		if !ran {
			c.Abort()
		}
	}
}

// writer gives the guarded response the methods that gin's handlers use.
type writer struct {
	http.ResponseWriter

	outer  gin.ResponseWriter
	status int
	size   int // -1 until something was written
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Status returns the status that was or will be written.
func (w *writer) Status() int { return w.status }

// Size returns how many bytes of the body were written, -1 for none.
func (w *writer) Size() int { return w.size }

// Written reports whether the header was.
func (w *writer) Written() bool { return w.size != -1 }

// WriteHeader remembers the status: gin writes it late, so that it may change.
func (w *writer) WriteHeader(status int) {
	if status > 0 && !w.Written() {
		w.status = status
	}
}

// WriteHeaderNow writes the header if it was not.
func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.size = 0
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// Write writes a part of the body.
func (w *writer) Write(p []byte) (n int, err error) {
	w.WriteHeaderNow()
	n, err = w.ResponseWriter.Write(p)
	w.size += n
	return n, err
}

// WriteString is Write.
func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Flush streams the response.
func (w *writer) Flush() {
	w.WriteHeaderNow()
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Hijack takes the connection over.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.size = max(w.size, 0)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// CloseNotify tells when the client has left.
func (w *writer) CloseNotify() <-chan bool { return w.outer.CloseNotify() }

// Pusher returns nil where HTTP/2 cannot push.
func (w *writer) Pusher() http.Pusher { return w.outer.Pusher() }

var (
	_ gin.ResponseWriter = (*writer)(nil)
	_ io.StringWriter    = (*writer)(nil)
)
