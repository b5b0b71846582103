package httpguard

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/idempotency/httpkey"
	"github.com/oncemore-dev/oncemore/idempotency/internal/method"
	"github.com/oncemore-dev/oncemore/idempotency/internal/problem"
)

// Middleware runs requests once under their key. Make one with [New]. It is safe
// for concurrent use.
type Middleware struct {
	Options
	service string
	guard   *idempotency.Guard
}

// New returns a middleware over guard for a service of that name: of the requests
// that carry one key, the handler serves one, and all get its response, wherever
// they arrive, as far as guard's store reaches. Whatever it answers in the handler's
// place is a problem (RFC 9457); docs/wire.md lists the types. A response that was
// recorded before has the header Idempotent-Replayed: true, and one of which no record
// is kept, because it settles nothing, Idempotent-Unsettled: true, unless it was streamed.
//
// Responses are encoded for the record here: an [idempotency.WithErrorEncoder] of
// guard's is not used. The caller drains guard before the server stops. The error
// names every option that is wrong, its value and what is allowed.
func New(service string, guard *idempotency.Guard, options ...Option) (*Middleware, error) {
	o := defaults()
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("httpguard: option %d is nil: leave it out instead", i)
		}
		option(&o)
	}
	err := o.check()
	if service == "" {
		err = errors.Join(err, errors.New(`httpguard: service "": must be the name of the service`))
	}
	if guard == nil {
		err = errors.Join(err, errors.New("httpguard: guard nil: must be made by idempotency.New"))
	}
	if err != nil {
		return nil, err
	}
	own, err := guard.With(idempotency.WithErrorEncoder(encode))
	if err != nil {
		return nil, err
	}
	return &Middleware{Options: o, service: service, guard: own}, nil
}

// Wrap returns next behind the middleware. It is what chi's Use takes, for instance.
// Put what compresses, logs or authenticates outside of it.
//
// A panic of next under a key is answered with a 500 and reported by the guard;
// [http.ErrAbortHandler] ends the connection as ever, and so does whatever goes
// wrong once a response is being streamed.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.isGuarded(r) {
			next.ServeHTTP(w, r)
			return
		}
		call, again, err := m.call(w, r)
		if err != nil {
			writeRefusal(w, err)
			return
		}
		x := &exchange{Middleware: m, client: w, request: again, next: next}
		x.serve(call)
	})
}

// isGuarded tells whether a request is run once.
func (m *Middleware) isGuarded(r *http.Request) bool {
	if slices.Contains(m.methods, r.Method) {
		return !m.optional || httpkey.Carries(r.Header)
	}
	return !method.IsSafe(r.Method) && httpkey.Carries(r.Header)
}

// call makes a request the guard's, and returns it with a body for the handler.
func (m *Middleware) call(w http.ResponseWriter, r *http.Request) (idempotency.Call, *http.Request, error) {
	none := idempotency.Call{}
	key, err := httpkey.Parse(r.Header)
	if err != nil {
		return none, nil, err
	}
	endpoint := m.endpoint(r)
	if key.IsFor(m.service, endpoint) || key.IsFor(m.service, r.URL.Path) { // go-micro's http client names the path
		key.For = ""
	}
	attempt, err := idempotency.ParseSent(r.Header.Get(idempotency.HeaderSent), key.Issued, time.Now())
	if err != nil {
		return none, nil, &idempotency.KeyError{Reason: "its " + idempotency.HeaderSent + " header is not an RFC 3339 time"}
	}
	released, err := idempotency.ParseReleased(r.Header.Get(idempotency.HeaderReleased))
	if err != nil {
		return none, nil, &idempotency.KeyError{Reason: "its " + idempotency.HeaderReleased + " header is not an RFC 3339 time"}
	}
	caller, err := m.caller(r)
	if err != nil {
		return none, nil, err
	}
	body, again, err := readRequest(w, r, m.maxRequest)
	if err != nil {
		return none, nil, &bodyError{err}
	}
	return idempotency.Call{
		Service: m.service, Endpoint: endpoint, Caller: caller, Key: key, Attempt: attempt, Released: released,
		Body: body, Reply: new(Response),
	}, again, nil
}

// bodyError is why a request's body could not be read.
type bodyError struct{ error }

// Unwrap returns what was wrong.
func (e *bodyError) Unwrap() error { return e.error }

// writeRefusal answers a request that did not get as far as the guard.
func writeRefusal(w http.ResponseWriter, err error) {
	unread, ok := errors.AsType[*bodyError](err)
	if !ok {
		writeError(w, err)
		return
	}
	d := problem.Details{
		Name: "bad-body", Title: "Body not read", Status: http.StatusBadRequest,
		Detail: "the body could not be read; nothing was executed",
	}
	if large, ok := errors.AsType[*http.MaxBytesError](unread); ok {
		d.Status = http.StatusRequestEntityTooLarge
		d.Detail = fmt.Sprintf("the body is larger than %d bytes; nothing was executed", large.Limit)
	}
	problem.Write(w, d)
}

// errorID marks the recorded errors that are responses.
const errorID = "http"

// encode puts a response into the record of an error.
func encode(err error) *idempotency.RecordedError {
	answered, ok := errors.AsType[*ResponseError](err)
	if !ok {
		return &idempotency.RecordedError{ID: errorID, Code: http.StatusInternalServerError, Detail: err.Error()}
	}
	recorded := &idempotency.RecordedError{
		ID: errorID, Code: int32(answered.Response.Status), //nolint:gosec // a status has three digits
		Detail: answered.Error(), Status: http.StatusText(answered.Response.Status),
	}
	extra, err := json.Marshal(answered.Response)
	if err == nil {
		recorded.Extra = string(extra)
	}
	return recorded
}

// decode returns the response that is recorded in an error, if there is one.
func decode(recorded *idempotency.RecordedError) (*Response, bool) {
	response := new(Response)
	ok := recorded.ID == errorID && json.Unmarshal([]byte(recorded.Extra), response) == nil
	return response, ok
}

// exchange is a request on its way through the guard.
type exchange struct {
	*Middleware
	client  http.ResponseWriter
	request *http.Request
	next    http.Handler

	recorder *recorder // once the handler has begun
	answered *ResponseError
}

func (x *exchange) serve(call idempotency.Call) {
	response, _ := call.Reply.(*Response)
	result, err := x.guard.Do(x.request.Context(), call, func(ctx context.Context) error {
		return x.handle(ctx, response)
	})
	switch {
	case x.recorder != nil:
		x.finish(err, result.Released)
	case err == nil: // a replay, or what a recovery found
		response.replay(x.client)
	default:
		x.answer(err, result.Replayed)
	}
}

// handle runs the handler, and takes its response down.
func (x *exchange) handle(ctx context.Context, response *Response) error {
	x.recorder = newRecorder(x.client, base64.StdEncoding.DecodedLen(x.guard.MaxReply())) // a record holds it in base64
	x.next.ServeHTTP(x.recorder, x.request.WithContext(ctx))
	*response = x.recorder.response(&x.Options)
	if response.Status < http.StatusBadRequest {
		return nil
	}
	x.answered = &ResponseError{Response: *response}
	if err := x.mark(x.answered); err != nil {
		return err
	}
	return x.answered
}

// finish answers a request that the handler has served, and says if no record is kept
// of it.
func (x *exchange) finish(err error, released bool) {
	if released {
		x.recorder.sayUnsettled()
	}
	if own, ok := errors.AsType[*ResponseError](err); err == nil || ok && own == x.answered {
		x.recorder.finish()
		return
	}
	panicked, ok := errors.AsType[*idempotency.PanicError](err)
	aborted := ok && errors.Is(panicked, http.ErrAbortHandler)
	switch {
	case x.recorder.taken: // what there was to say, the handler has
	case aborted || x.recorder.started: // nobody must take what there is for a whole response
		panic(http.ErrAbortHandler) //nolint:forbidigo // as net/http has a handler say it
	default:
		x.answer(err, false)
	}
}

// answer answers with an error that was recorded, or that the guard gave in the
// handler's place.
func (x *exchange) answer(err error, replayed bool) {
	if recorded, ok := errors.AsType[*idempotency.RecordedError](err); ok {
		if response, ok := decode(recorded); ok {
			response.replay(x.client)
			return
		}
	}
	if replayed {
		x.client.Header().Set(idempotency.HeaderReplayed, "true")
	}
	writeError(x.client, err)
}
