package wrapper

import (
	"net/http"

	merrors "go-micro.dev/v4/errors"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// unsettledError is an error of a handler that settles nothing: see
// idempotency.Unsettled.
type unsettledError struct{ error }

// Unwrap returns the handler's error.
func (e *unsettledError) Unwrap() error { return e.error }

// Unsettled is true.
func (*unsettledError) Unsettled() bool { return true }

// isMismatch tells whether a handler's own call found the record of another one under
// its key: it made its calls in another order than in a former run. Nothing was done,
// and the handler may do better the next time.
func isMismatch(e *merrors.Error) bool {
	return e.Id == retryfunc.MarkID && e.Code == http.StatusUnprocessableEntity
}
