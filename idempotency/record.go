package idempotency

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
)

// Content says what the body of a [Record] is.
type Content byte

// The contents of a record. Their numbers are stored: never change one.
const (
	// ContentNone: the handler has no reply.
	ContentNone Content = iota + 1
	// ContentProto: a reply, as protobuf.
	ContentProto
	// ContentJSON: a reply, as JSON.
	ContentJSON
	// ContentError: the handler answered with an error.
	ContentError
	// ContentDropped: the handler succeeded, and its reply could not be kept.
	ContentDropped
)

// Record is what a handler answered. It travels through a [Store] in encoded
// form, see [Record.Encode].
type Record struct {
	Content Content
	// Body is the encoded reply; for ContentDropped the reason, for
	// people to read. It is opaque to stores.
	Body []byte
	// Err is the error, for ContentError.
	Err *RecordedError
	// Origin is where the execution came from, see [WithOrigin]; empty if it is not
	// known. At most 255 bytes.
	Origin string
}

// RecordedError is an error as a record keeps it, in the four fields of a
// go-micro error. It is what a duplicate is answered with.
type RecordedError struct {
	ID     string
	Code   int32
	Detail string
	Status string
	// Extra is what else it takes to give the error back as it was, where it is
	// more than the four fields hold: the body of an HTTP response, the details of
	// a grpc status. Only who has written it can read it.
	Extra string
}

// Error returns Detail.
func (e *RecordedError) Error() string { return e.Detail }

// StatusCode returns Code.
func (e *RecordedError) StatusCode() int { return int(e.Code) }

// recordFormat is the version of the encoding: format, content, CRC-32C of
// content and body, body. A reader refuses a format that it does not know. The
// second format has the length of the origin and the origin before the body, and is
// written only where there is one.
const (
	recordFormat       = 1
	recordFormatOrigin = 2
	recordHeader       = 6
)

// errRecord says why a stored record cannot be read.
var errRecord = errors.New("idempotency: bad record")

// Encode returns the stored form of the record: versioned, with a checksum.
func (r Record) Encode() []byte {
	body := r.Body
	if r.Content == ContentError {
		body = r.Err.encode()
	}
	raw := make([]byte, recordHeader, recordHeader+len(body))
	return withOrigin(seal(append(raw, body...), r.Content), r.Origin)
}

// seal fills the header of a record whose body is in place.
func seal(raw []byte, content Content) []byte { return sealAs(recordFormat, raw, content) }

func sealAs(format byte, raw []byte, content Content) []byte {
	raw[0], raw[1] = format, byte(content)
	binary.BigEndian.PutUint32(raw[2:], checksum(raw[1], raw[recordHeader:]))
	return raw
}

// DecodeRecord reads what [Record.Encode] wrote; Body is a part of raw. Any
// difference, if only by a bit, is an error.
func DecodeRecord(raw []byte) (r Record, err error) {
	if len(raw) < recordHeader {
		return Record{}, fmt.Errorf("%w: %d bytes", errRecord, len(raw))
	}
	if raw[0] != recordFormat && raw[0] != recordFormatOrigin {
		return Record{}, fmt.Errorf("%w: format %d is unknown", errRecord, raw[0])
	}
	r = Record{Content: Content(raw[1]), Body: raw[recordHeader:]}
	if sum := binary.BigEndian.Uint32(raw[2:]); sum != checksum(raw[1], r.Body) {
		return Record{}, fmt.Errorf("%w: the checksum is wrong", errRecord)
	}
	if raw[0] == recordFormatOrigin {
		if r.Origin, r.Body, err = splitOrigin(r.Body); err != nil {
			return Record{}, err
		}
	}
	switch r.Content {
	case ContentNone, ContentProto, ContentJSON, ContentDropped:
		return r, nil
	case ContentError:
		recorded, err := decodeRecordedError(r.Body)
		return Record{Content: ContentError, Err: recorded, Origin: r.Origin}, err
	}
	return Record{}, fmt.Errorf("%w: content %d is unknown", errRecord, raw[1])
}

func checksum(content byte, body []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // returns a shared table
	return crc32.Update(crc32.Update(0, table, []byte{content}), table, body)
}

// The fields of an encoded error, in protobuf's wire format.
const (
	errorFieldID protowire.Number = iota + 1
	errorFieldCode
	errorFieldDetail
	errorFieldStatus
	errorFieldExtra
)

func (e *RecordedError) encode() []byte {
	if e == nil {
		e = &RecordedError{Code: 500, Detail: "unknown error"}
	}
	var raw []byte
	raw = appendString(raw, errorFieldID, e.ID)
	raw = protowire.AppendTag(raw, errorFieldCode, protowire.VarintType)
	raw = protowire.AppendVarint(raw, protowire.EncodeZigZag(int64(e.Code)))
	raw = appendString(raw, errorFieldDetail, e.Detail)
	raw = appendString(raw, errorFieldStatus, e.Status)
	if e.Extra != "" {
		raw = appendString(raw, errorFieldExtra, e.Extra)
	}
	return raw
}

func appendString(raw []byte, number protowire.Number, s string) []byte {
	raw = protowire.AppendTag(raw, number, protowire.BytesType)
	return protowire.AppendString(raw, s)
}

func decodeRecordedError(raw []byte) (*RecordedError, error) {
	e := &RecordedError{}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errRecord, protowire.ParseError(n))
		}
		raw = raw[n:]
		if n = e.decodeField(number, kind, raw); n < 0 {
			return nil, fmt.Errorf("%w: %w", errRecord, protowire.ParseError(n))
		}
		raw = raw[n:]
	}
	return e, nil
}

// decodeField reads one field and returns its length. Unknown fields are of a
// later version, and skipped.
func (e *RecordedError) decodeField(number protowire.Number, kind protowire.Type, raw []byte) int {
	var text *string
	switch number { //nolint:exhaustive // the others are protobuf's bounds
	case errorFieldID:
		text = &e.ID
	case errorFieldDetail:
		text = &e.Detail
	case errorFieldStatus:
		text = &e.Status
	case errorFieldExtra:
		text = &e.Extra
	case errorFieldCode:
		if kind == protowire.VarintType {
			v, n := protowire.ConsumeVarint(raw)
			e.Code = int32(protowire.DecodeZigZag(v)) //nolint:gosec // what was encoded has 32 bits
			return n
		}
	}
	if text == nil || kind != protowire.BytesType {
		return protowire.ConsumeFieldValue(number, kind, raw)
	}
	s, n := protowire.ConsumeString(raw)
	*text = s
	return n
}
