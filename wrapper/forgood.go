package wrapper

import (
	"context"
	"net/http"

	merrors "go-micro.dev/v4/errors"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/oncemore-dev/oncemore/retryfunc"
)

// forGood adds to a handler's error that nobody need try again: see
// retryfunc.MarkFailed. Errors that nobody would repeat stay as they are.
func (w wireErrors) forGood(e *merrors.Error) *merrors.Error {
	if !isRepeated(e.Code) {
		return e
	}
	mark, marked := retryfunc.ParseMark(e)
	if !marked {
		mark = retryfunc.Mark{Kind: retryfunc.MarkFailed, Service: w.service}
	}
	mark.NoRetry = true
	said := retryfunc.NewMarked(e.Code, e.Detail, mark)
	said.Id = e.Id
	return said
}

// isRepeated tells whether a caller may repeat a call that was answered with the code.
func isRepeated(code int32) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// withForGood is forGood for the error of a handler without a key, which its caller is
// to see as it is but for the mark. One that has no place for a mark has none.
func (w wireErrors) withForGood(ctx context.Context, err error) error {
	e := onTheWire(ctx, err)
	if e == nil || !isRepeated(e.Code) {
		return err
	}
	return w.forGood(e)
}

// onTheWire is what go-micro's clients make of a handler's error; nil where that is
// not known. grpc's know a code for any, and mucp's one that is in its text only.
func onTheWire(ctx context.Context, err error) *merrors.Error {
	if e, ok := err.(*merrors.Error); ok { //nolint:errorlint // what is wrapped is not sent
		return e
	}
	if _, ok := err.(proto.Message); ok {
		return nil
	}
	if e := merrors.Parse(err.Error()); e.Code > 0 {
		return e
	}
	if grpc.ServerTransportStreamFromContext(ctx) == nil {
		return nil
	}
	return &merrors.Error{Id: "go.micro.client", Code: http.StatusInternalServerError, Detail: err.Error()}
}
