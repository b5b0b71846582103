package httpguard

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/idempotency/internal/problem"
)

// HeaderStatus is the status of a recorded response, in the answer to the question
// what became of a request. See [Middleware.Outcome].
const HeaderStatus = "Idempotent-Status"

// Outcome returns a handler that answers what became of a request with the given
// method, to the same path, under the key in the Idempotency-Key header. It runs
// nothing, and waits for nothing:
//
//	200  executed: the recorded header and body, and the status in Idempotent-Status
//	404  not executed, as far as is known: it never came, was released, or is
//	     older than the retention
//	409  still running (Retry-After), or its outcome is unknown
//	410  executed, and the response was not kept
//
// Caller and endpoint are those of the middleware. Where the store is no
// [idempotency.Inspector] the answer is 501.
//
//	mux.Handle("POST /tips", guarded.Wrap(tips))
//	mux.Handle("GET /tips", guarded.Outcome(http.MethodPost))
func (m *Middleware) Outcome(method string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		key, err := httpkey.Parse(r.Header)
		if err != nil {
			writeError(w, err)
			return
		}
		asked := r.Clone(r.Context())
		asked.Method = method
		caller, err := m.caller(asked)
		if err != nil {
			writeError(w, err)
			return
		}
		entry, err := m.guard.Lookup(r.Context(), idempotency.Scope{
			Service: m.service, Endpoint: m.endpoint(asked), Caller: caller, Key: key.Value,
		})
		if err != nil {
			writeNotLookedUp(w, err)
			return
		}
		writeOutcome(w, entry)
	})
}

// writeNotLookedUp answers where the store cannot be asked. It must not be read as
// that the request was not executed.
func writeNotLookedUp(w http.ResponseWriter, err error) {
	d := problem.Details{
		Name: "not-told", Title: "Outcome not told", Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
		Detail: "what became of the request cannot be told at the moment; ask again",
	}
	if errors.Is(err, errors.ErrUnsupported) {
		d.Status, d.RetryAfter = http.StatusNotImplemented, 0
		d.Detail = "this service cannot tell what became of a request"
	}
	problem.Write(w, d)
}

func writeOutcome(w http.ResponseWriter, entry idempotency.Entry) {
	response := new(Response)
	err := entry.Replay(response)
	if recorded, ok := errors.AsType[*idempotency.RecordedError](err); ok {
		if response, ok = decode(recorded); !ok { // a panic, or another adapter's
			response = &Response{Status: validStatus(int(recorded.Code)), Dropped: "the handler failed"}
		}
		err = nil
	}
	switch {
	case errors.Is(err, idempotency.ErrNotExecuted):
		problem.Write(w, problem.Details{
			Name: "not-executed", Title: "Request not executed", Status: http.StatusNotFound,
			Detail: "no request with this idempotency key was executed, as far as is known",
		})
	case err != nil:
		writeError(w, err)
	case response.Dropped != "":
		writeNoBody(w, response)
	default:
		w.Header().Set(HeaderStatus, strconv.Itoa(response.Status))
		response.Status = http.StatusOK
		response.replay(w)
	}
}
