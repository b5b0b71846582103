package grpcguard

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

// wireError is go-micro's errors.Error, which goes with a status as its detail. It
// is encoded here because this package works without go-micro.
type wireError struct {
	id     string
	code   int32
	detail string
	status string
}

// typeURL of errors.Error. What is before the last slash does not matter.
const typeURL = "type.googleapis.com/errors.Error"

// The fields of errors.Error.
const (
	fieldID protowire.Number = iota + 1
	fieldCode
	fieldDetail
	fieldStatus
)

// detailOf returns the first detail of a status that is an errors.Error.
func detailOf(s *status.Status) (e wireError, ok bool) {
	for _, detail := range s.Proto().GetDetails() {
		if isWireError(detail) {
			return parseWireError(detail.GetValue())
		}
	}
	return wireError{}, false
}

func isWireError(detail *anypb.Any) bool {
	return detail.GetTypeUrl()[strings.LastIndexByte(detail.GetTypeUrl(), '/')+1:] == "errors.Error"
}

func parseWireError(raw []byte) (e wireError, ok bool) {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return wireError{}, false
		}
		raw = raw[n:]
		if n = e.parseField(number, kind, raw); n < 0 {
			return wireError{}, false
		}
		raw = raw[n:]
	}
	return e, true
}

// parseField reads one field and returns its length; it skips what it does not know.
func (e *wireError) parseField(number protowire.Number, kind protowire.Type, raw []byte) int {
	if number == fieldCode && kind == protowire.VarintType {
		code, n := protowire.ConsumeVarint(raw)
		e.code = int32(code) //nolint:gosec // the field has 32 bits
		return n
	}
	texts := map[protowire.Number]*string{fieldID: &e.id, fieldDetail: &e.detail, fieldStatus: &e.status}
	text := texts[number]
	if text == nil || kind != protowire.BytesType {
		return protowire.ConsumeFieldValue(number, kind, raw)
	}
	value, n := protowire.ConsumeString(raw)
	*text = value
	return n
}

// asDetail returns the error as the detail of a status. Protobuf has no place for
// what is not UTF-8.
func (e *wireError) asDetail() *anypb.Any {
	var raw []byte
	text := func(number protowire.Number, value string) {
		if value = strings.ToValidUTF8(value, "\uFFFD"); value != "" {
			raw = protowire.AppendTag(raw, number, protowire.BytesType)
			raw = protowire.AppendString(raw, value)
		}
	}
	text(fieldID, e.id)
	if e.code != 0 {
		raw = protowire.AppendTag(raw, fieldCode, protowire.VarintType)
		raw = protowire.AppendVarint(raw, uint64(e.code)) //nolint:gosec // sign-extended, as protobuf has it
	}
	text(fieldDetail, e.detail)
	text(fieldStatus, e.status)
	return &anypb.Any{TypeUrl: typeURL, Value: raw}
}

// asStatus returns a status with the error as its detail, which go-micro's client
// reads, and with a message that other clients read.
func (e *wireError) asStatus(code codes.Code) *status.Status {
	p := status.New(code, strings.ToValidUTF8(e.detail, "\uFFFD")).Proto()
	p.Details = append(p.Details, e.asDetail())
	return status.FromProto(p)
}

// besideOf returns a status with the error as its detail, in the place of another error
// like it, and with all else that it has.
func (e *wireError) besideOf(s *status.Status) *status.Status {
	p := s.Proto() // a copy
	for i, detail := range p.GetDetails() {
		if isWireError(detail) {
			p.Details[i] = e.asDetail()
			return status.FromProto(p)
		}
	}
	p.Details = append(p.Details, e.asDetail())
	return status.FromProto(p)
}

// httpStatus is the code that go-micro has for a grpc code, and for those that it
// does not know the one that says the same about the outcome.
func httpStatus(code codes.Code) int32 {
	switch code {
	case codes.OK:
		return 200
	case codes.InvalidArgument, codes.OutOfRange:
		return 400
	case codes.Unauthenticated:
		return 401
	case codes.PermissionDenied:
		return 403
	case codes.NotFound:
		return 404
	case codes.DeadlineExceeded, codes.Canceled:
		return 408
	case codes.AlreadyExists, codes.Aborted:
		return 409
	case codes.FailedPrecondition:
		return 412
	case codes.ResourceExhausted:
		return 429
	case codes.Unimplemented:
		return 501
	case codes.Unavailable:
		return 503
	default:
		return 500
	}
}

// grpcCode is the code that go-micro's server has for an HTTP status, and for those
// that it does not know the nearest.
func grpcCode(httpStatus int32) codes.Code {
	switch httpStatus {
	case 200:
		return codes.OK
	case 400, 422:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.NotFound
	case 408:
		return codes.DeadlineExceeded
	case 409:
		return codes.AlreadyExists
	case 410, 412:
		return codes.FailedPrecondition
	case 429:
		return codes.ResourceExhausted
	case 500:
		return codes.Internal
	case 501:
		return codes.Unimplemented
	case 503:
		return codes.Unavailable
	default:
		return codes.Unknown
	}
}
