package grpcguard

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/oncemore-dev/oncemore/idempotency"
)

// handlerError is an error of a handler, with the status that its caller gets, and
// duplicates with it.
type handlerError struct {
	error

	status *status.Status
	wire   wireError
	edited bool // the status is not the error's own
}

// Unwrap returns the handler's error.
func (e *handlerError) Unwrap() error { return e.error }

// Unsettled tells the guard whether the error is no answer: a mark of a callee's
// says so, and so does Aborted, which asks to begin anew.
func (e *handlerError) Unsettled() bool {
	return e.wire.isUnsettled() || e.status.Code() == codes.Aborted
}

// answered is what the caller gets: the handler's error itself, where it says the
// same.
func (e *handlerError) answered() error {
	if _, ok := status.FromError(e.error); ok && !e.edited {
		return e.error
	}
	return e.status.Err()
}

// ofHandler reads an error of a handler's.
func ofHandler(err error, service string) *handlerError {
	s, ok := status.FromError(err)
	if carrier, found := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); !ok && found { // in a mark, or in a sentence
		s = carrier.GRPCStatus()
	} else if !ok {
		s = status.FromContextError(err)
	}
	if !utf8.ValidString(s.Message()) { // grpc replaces it on the wire, and protobuf cannot keep it
		p := s.Proto()
		p.Message = strings.ToValidUTF8(p.GetMessage(), "\uFFFD")
		s = status.FromProto(p)
	}
	e := &handlerError{error: err, status: s}
	if e.wire, ok = detailOf(s); !ok {
		e.wire = wireError{id: service, code: httpStatus(s.Code()), detail: s.Message(), status: s.Code().String()}
		return e
	}
	if relayed := e.wire.relayed(service); relayed != e.wire && (e.wire.id == markID || e.wire.saysUnsettled()) {
		e.status, e.edited = relayed.besideOf(s), true
	}
	return e
}

// unsettled is answer for the error of a handler of which no record is kept. Where
// neither its code nor a mark says so, one is added: a caller that is a handler, too,
// would record the error for good, and one that tries again would take a new key.
func (s *Server) unsettled(err error) error {
	answer := status.Convert(s.answer(err))
	e, ok := detailOf(answer)
	if isAmbiguousCode(answer.Code()) || ok && e.isUnsettled() {
		return answer.Err()
	}
	if !ok {
		e = wireError{id: s.service, code: httpStatus(answer.Code()), detail: answer.Message()}
	}
	e.status = markUnsettled + "; service=" + url.QueryEscape(s.service)
	return e.besideOf(answer).Err()
}

// extraPrefix marks what this package keeps with a recorded error.
const extraPrefix = "grpc\x00"

// encode gives the error of a handler the form in which it is recorded: as
// go-micro's servers understand it, with the whole status beside it.
func (s *Server) encode(err error) *idempotency.RecordedError {
	if errors.Is(err, errNotKept) {
		return &idempotency.RecordedError{
			ID: markID, Code: http.StatusGone, Detail: idempotency.ErrNoReply.Error(), Status: http.StatusText(http.StatusGone),
		}
	}
	e, ok := errors.AsType[*handlerError](err)
	if !ok {
		e = ofHandler(err, s.service)
	}
	wire := e.wire
	if e.edited {
		wire = wire.relayed(s.service)
	}
	recorded := &idempotency.RecordedError{ID: wire.id, Code: wire.code, Detail: wire.detail, Status: wire.status}
	if raw, err := proto.Marshal(e.status.Proto()); err == nil {
		recorded.Extra = extraPrefix + string(raw)
	}
	return recorded
}

// decode returns the status that a record holds, whichever server wrote it.
func decode(recorded *idempotency.RecordedError) *status.Status {
	if raw, ok := strings.CutPrefix(recorded.Extra, extraPrefix); ok {
		p := status.New(codes.Unknown, "").Proto()
		if err := proto.Unmarshal([]byte(raw), p); err == nil {
			return status.FromProto(p)
		}
	}
	e := &wireError{id: recorded.ID, code: recorded.Code, detail: recorded.Detail, status: recorded.Status}
	code := grpcCode(recorded.Code)
	if code == codes.OK { // an error is none
		code = codes.Unknown
	}
	return e.asStatus(code)
}

// answer is what a caller gets for what the guard returned.
func (s *Server) answer(err error) error {
	if own, ok := errors.AsType[*handlerError](err); ok {
		return own.answered()
	}
	if recorded, ok := errors.AsType[*idempotency.RecordedError](err); ok {
		return decode(recorded).Err()
	}
	if refused, ok := errors.AsType[*idempotency.Error](err); ok {
		return (&wireError{
			id: markID, code: int32(refused.Code), //nolint:gosec // a status has three digits
			detail: refused.Reason.Error(), status: markText(s.service, refused),
		}).asStatus(codeOf(refused)).Err()
	}
	if errors.Is(err, idempotency.ErrInvalidKey) {
		return badKey(err.Error())
	}
	return status.Error(codes.Internal, "the handler panicked") // with what, is for the log
}

// badKey refuses a call for its key.
func badKey(detail string) error {
	return (&wireError{
		id: markID, code: http.StatusBadRequest, detail: detail, status: http.StatusText(http.StatusBadRequest),
	}).asStatus(codes.InvalidArgument).Err()
}
