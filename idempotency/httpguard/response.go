package httpguard

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// Response is a response as a record keeps it. A [idempotency.RecoverFunc] that
// finds the work done fills one in: it is what Orphan.Reply points to.
type Response struct {
	// Status is the HTTP status; 0 if the handler took the connection over
	// without one.
	Status int `json:"status"`
	// Header holds what is replayed of the header.
	Header http.Header `json:"header,omitempty"`
	// Body is the body; nil where it was not kept.
	Body []byte `json:"body,omitempty"`
	// Dropped says why the body was not kept; empty where it was.
	Dropped string `json:"dropped,omitempty"`
}

// ResponseError is a response with a status of 400 or more, as an
// [idempotency.WithErrorPolicy] sees it. It is given as a pointer.
type ResponseError struct{ Response Response }

// Error names the status.
func (e *ResponseError) Error() string {
	return fmt.Sprintf("httpguard: the handler answered %d %s", e.Response.Status, http.StatusText(e.Response.Status))
}

// StatusCode returns the status.
func (e *ResponseError) StatusCode() int { return e.Response.Status }

// neverReplayed tells whether a header belongs to one connection, one client or
// one moment.
func neverReplayed(name string) bool {
	switch name {
	case "Connection", "Date", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade", idempotency.HeaderReplayed:
		return true
	}
	return false
}

// replayable returns what the handler has set in a header that was before, as far
// as it may be given to another client. What is not UTF-8 cannot be recorded.
func (o *Options) replayable(header, before http.Header) http.Header {
	kept := make(http.Header)
	for name, values := range header {
		switch {
		case slices.Equal(values, before[name]) || slices.ContainsFunc(values, isNoText):
		case o.headers != nil && !slices.Contains(o.headers, http.CanonicalHeaderKey(name)):
		case o.headers == nil && neverReplayed(http.CanonicalHeaderKey(name)):
		default:
			kept[name] = slices.Clone(values)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

func isNoText(value string) bool { return !utf8.ValidString(value) }

// validStatus returns the status, or 500 for what is none: net/http panics then.
func validStatus(status int) int {
	if status < 100 || status > 999 {
		return http.StatusInternalServerError
	}
	return status
}

// replay answers with the response.
func (r *Response) replay(w http.ResponseWriter) {
	if r.Dropped != "" {
		writeNoBody(w, r)
		return
	}
	maps.Copy(w.Header(), r.Header)
	w.Header().Set(idempotency.HeaderReplayed, "true")
	w.WriteHeader(validStatus(cmp.Or(r.Status, http.StatusOK)))
	if _, err := w.Write(r.Body); err != nil { //nolint:gosec // what the handler answered is its own
		return // the client has left, or the status allows no body
	}
}
