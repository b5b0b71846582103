package wrapper

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/idempotency"
	"github.com/oncemore-dev/oncemore/retryfunc"
)

// wireErrors turns what a guard answers into what crosses the wire.
type wireErrors struct{ service string }

// encode gives the error of a handler the form in which it is recorded, which
// is also what its first caller gets: both must be the same.
func (w wireErrors) encode(err error) *idempotency.RecordedError {
	e := w.relayed(err)
	return &idempotency.RecordedError{ID: e.Id, Code: e.Code, Detail: e.Detail, Status: e.Status}
}

// relayed is the handler's error as this service answers it. A mark that the
// handler passes on, from a service it called, would speak for this one: what
// refused to run there did run here.
func (w wireErrors) relayed(err error) *merrors.Error {
	e := w.relayedAs(err)
	if own, ok := errors.AsType[*handlerError](err); ok && own.forGood {
		return w.forGood(e)
	}
	return e
}

func (w wireErrors) relayedAs(err error) *merrors.Error {
	e := w.micro(err)
	mark, ok := retryfunc.ParseMark(e)
	switch {
	case ok && mark.Kind.OfHandler():
		own := &merrors.Error{Id: e.Id, Code: e.Code, Detail: e.Detail, Status: http.StatusText(int(e.Code))}
		if mark.NoRetry {
			return w.forGood(own)
		}
		return own
	case ok:
		return retryfunc.NewMarked(e.Code, e.Detail, retryfunc.Mark{
			Kind: retryfunc.MarkRelayed, Service: w.service, NoRetry: mark.NoRetry,
		})
	}
	if e.Id == "" {
		return &merrors.Error{Id: w.service, Code: e.Code, Detail: e.Detail, Status: e.Status}
	}
	return e
}

// handlerError is an error of a handler that looks like one of the guard's: of a
// guard that the handler has asked itself, or of a call that it has made.
type handlerError struct {
	error
	forGood bool // it is a callee's that has failed for good
}

// Unwrap returns the handler's error.
func (e *handlerError) Unwrap() error { return e.error }

// Unsettled implements idempotency.Unsettled: it reports whether the error tells
// that a callee has refused the request, still runs it or does not know its
// outcome, or could not be reached or heard. Then the handler has no answer either.
func (e *handlerError) Unsettled() bool {
	if mark, marked := retryfunc.ParseMark(e.error); marked && mark.Kind != retryfunc.MarkFailed || isMismatch(e.error) {
		return true
	}
	if e.is(retryfunc.NotSent, retryfunc.Refused, retryfunc.NoNode, retryfunc.Broken) {
		return true
	}
	inner, ok := errors.AsType[idempotency.Unsettled](e.error)
	return ok && inner.Unsettled()
}

// Timeout reports whether a call of the handler, or the handler itself, ended for
// lack of time, which guards ask errors for.
func (e *handlerError) Timeout() bool { return e.is(retryfunc.Timeout, retryfunc.Canceled) }

// is reports whether the error is of one of the classes, whichever client the
// handler called with. That a peer's text may look like it does no harm here.
func (e *handlerError) is(classes ...retryfunc.Class) bool {
	for _, kind := range [...]string{"mucp", ""} {
		if slices.Contains(classes, retryfunc.Classify(e.error, retryfunc.Evidence{Client: kind})) {
			return true
		}
	}
	return false
}

// isMismatch reports whether a handler's own call found the record of another one
// under its key: it made its calls in another order than in a former run. Nothing was
// done, and the handler may do better the next time.
func isMismatch(err error) bool {
	e := wireErrors{}.micro(err)
	return e.Id == retryfunc.MarkID && e.Code == http.StatusUnprocessableEntity
}

// ofHandler keeps what a handler returns apart from what the guard answers in
// its place, such as that nothing ran. h is nil for that of a message.
func (wireErrors) ofHandler(h *handling, err error) error {
	if err == nil || errors.As(err, new(*idempotency.PanicError)) { // which is nobody's to read
		return err
	}
	return &handlerError{err, h.isCalleeFailure(err)}
}

// passOn leaves the error of a handler without a key as it is, except for marks
// that are not this service's own. That a callee keeps no record is true all the same.
func (w wireErrors) passOn(err error) error {
	if mark, marked := retryfunc.ParseMark(err); marked && !mark.Kind.OfHandler() {
		return w.relayed(err)
	}
	return err
}

// micro finds go-micro's error in err, or makes one of its text.
func (w wireErrors) micro(err error) *merrors.Error {
	if e, ok := merrors.As(err); ok && e != nil {
		return e
	}
	if e := merrors.Parse(err.Error()); e.Code > 0 {
		return e
	}
	code := statusOf(err)
	return &merrors.Error{Id: w.service, Code: code, Detail: err.Error(), Status: http.StatusText(int(code))}
}

// statusOf is the code that err suggests for itself, else 500.
func statusOf(err error) int32 {
	var coded interface{ StatusCode() int }
	if errors.As(err, &coded) {
		return codeOf(coded.StatusCode())
	}
	return http.StatusInternalServerError
}

// codeOf is an HTTP status as go-micro keeps it; what is none becomes a 500.
func codeOf(status int) int32 {
	if status < 100 || status > 999 {
		return http.StatusInternalServerError
	}
	return int32(status)
}

// unsettled is answer for the error of a handler of which no record is kept. Where
// neither its code nor a mark says so, one is added: a caller that is a handler, too,
// would record the error for good, and one that tries again would take a new key.
func (w wireErrors) unsettled(err error) error {
	answer := w.micro(w.answer(err))
	if isUnrecorded(answer) {
		return answer
	}
	said, _ := retryfunc.ParseMark(answer)
	marked := retryfunc.NewMarked(answer.Code, answer.Detail, retryfunc.Mark{
		Kind: retryfunc.MarkUnsettled, Service: w.service, NoRetry: said.NoRetry,
	})
	marked.Id = answer.Id
	return marked
}

// answer is what the caller gets for err, which a guard returned.
func (w wireErrors) answer(err error) error {
	if err == nil { // before anything is allocated for its kind
		return nil
	}
	var (
		recorded *idempotency.RecordedError
		guard    *idempotency.Error
		panicked *idempotency.PanicError
	)
	if own, ok := err.(*handlerError); ok { //nolint:errorlint // deeper down it is the cause of the guard's
		return w.relayed(own)
	}
	switch {
	case errors.As(err, &recorded):
		return &merrors.Error{Id: cmp.Or(recorded.ID, w.service), Code: recorded.Code, Detail: recorded.Detail, Status: recorded.Status}
	case errors.As(err, &guard):
		return w.marked(guard)
	case errors.As(err, &panicked):
		return w.panicked()
	case errors.Is(err, idempotency.ErrInvalidKey), errors.As(err, new(badRequestError)):
		return retryfunc.NewMarked(http.StatusBadRequest, err.Error(), retryfunc.Mark{})
	default:
		return w.relayed(err)
	}
}

// panicked is the answer of a handler that panicked. With what, is for the log.
func (w wireErrors) panicked() error {
	return merrors.InternalServerError(w.service, "the handler panicked")
}

// marked tells the caller's side what became of the call. The cause stays here:
// it may name hosts or users.
func (w wireErrors) marked(e *idempotency.Error) error {
	mark := retryfunc.Mark{Kind: retryfunc.MarkNamed(e.Mark()), Service: w.service, RetryAfter: e.RetryAfter}
	if e.Released != 0 {
		mark.Released = time.UnixMicro(e.Released)
	}
	return retryfunc.NewMarked(codeOf(e.Code), e.Reason.Error(), mark)
}
