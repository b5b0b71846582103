// Package problem answers HTTP requests with problem details (RFC 9457).
package problem

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
)

// docs is the page that explains the types of problem, one section each.
const docs = "https://github.com/oncemore-dev/oncemore/blob/main/docs/wire.md#"

// Details is what a client may know of why its request was not answered. It must
// name nothing of the service's inside.
type Details struct {
	// Name of the type of problem, a section of the page about the wire.
	Name string
	// Title says in few words what the type of problem is.
	Title string
	// Status is the HTTP status.
	Status int
	// Detail says what happened to this request, and what to do.
	Detail string
	// RetryAfter is when to ask again; 0 where there is nothing to advise.
	RetryAfter time.Duration
	// Members are further members of the object, for this type of problem. May be nil.
	Members map[string]any
}

// Write answers a request. If the client has left there is nobody to tell.
func Write(w http.ResponseWriter, d Details) {
	object := map[string]any{"type": docs + d.Name, "title": d.Title, "status": d.Status, "detail": d.Detail}
	maps.Copy(object, d.Members)
	header := w.Header()
	if d.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.RetryAfter.Seconds()))))
	}
	header.Set("Cache-Control", "no-store")
	body, err := json.Marshal(object)
	if err != nil { // a member that is none
		http.Error(w, d.Detail, d.Status)
		return
	}
	header.Set("Content-Type", "application/problem+json")
	header.Del("Content-Length")
	w.WriteHeader(d.Status)
	if _, err := w.Write(body); err != nil {
		return
	}
}
