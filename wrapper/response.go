package wrapper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go-micro.dev/v4/client"
	frame "go-micro.dev/v4/codec/bytes"
	microproto "go-micro.dev/v4/codec/proto"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// reply is where one exchange receives its answer, apart from the caller's
// response: a late one must not write to memory that the caller owns again.
//
// Where the wire would decode it, and how, is known, the answer is kept as it came
// and decoded into the response itself, which may hold pointers or values of the
// caller's to decode into. Else it is received in a response that is like the
// caller's, and what there is only one of is received as it would be bare.
type reply struct {
	rsp    any // the caller's
	target any // the exchange's own
	text   json.RawMessage
	frame  frame.Frame
	decode func(raw []byte, rsp any) error // nil: target is of rsp's type
	shared bool                            // target is the caller's own
}

// receive makes the room for an answer that the given wire decodes; empty is a
// wire that is not known.
func (r *reply) receive(c *retryClient, over transport, req client.Request, node *registry.Node, rsp any) {
	r.rsp, r.target = rsp, rsp
	if !isolable(rsp) {
		r.shared = isShared(rsp)
		return
	}
	w := wireCodec{c, over, req.ContentType(), node.Metadata["protocol"] == ""}
	var text bool
	switch r.decode, text = w.decoder(rsp); {
	case r.decode == nil:
		if r.target = another(rsp); r.target == nil {
			r.target, r.shared = rsp, true
		}
	case text:
		r.target = &r.text
	default:
		r.target = &r.frame
	}
}

// deliver moves the reply to the caller.
func (r *reply) deliver() error {
	switch {
	case r.shared || r.target == nil:
		return nil
	case r.decode == nil:
		move(r.rsp, r.target)
		return nil
	case r.target == &r.frame:
		return r.decode(r.frame.Data, r.rsp)
	case r.text == nil:
		return nil // the answer had no body
	default:
		return r.decode(r.text, r.rsp)
	}
}

// move makes a response what another of its kind is.
func move(to, from any) {
	if source, target := reflect.ValueOf(from), reflect.ValueOf(to); source.Kind() == reflect.Pointer && source.Pointer() != target.Pointer() {
		target.Elem().Set(source.Elem())
	}
}

// isolable tells whether rsp can be decoded apart and moved into place later:
// it must be a pointer to something.
func isolable(rsp any) bool {
	v := reflect.ValueOf(rsp)
	return v.Kind() == reflect.Pointer && !v.IsNil()
}

// isShared tells whether something that is no pointer can be written to.
func isShared(rsp any) bool {
	v := reflect.ValueOf(rsp)
	return (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && !v.IsNil()
}

// sameMemory tells whether two responses that can be written to are one.
func sameMemory(a, b any) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	return v.Kind() == w.Kind() && (isShared(a) || isolable(a)) && v.UnsafePointer() == w.UnsafePointer()
}

// isBlank tells whether a response that is isolable holds nothing.
func isBlank(rsp any) bool { return reflect.ValueOf(rsp).Elem().IsZero() }

// newLike returns a blank response of the type of one that is isolable.
func newLike(rsp any) any { return reflect.New(reflect.TypeOf(rsp).Elem()).Interface() }

// another returns a response that is like rsp and shares nothing with it, or nil
// where none can be made: only protobuf messages can be copied.
func another(rsp any) any {
	if isBlank(rsp) {
		return newLike(rsp)
	}
	m, ok := rsp.(proto.Message)
	if !ok {
		return nil
	}
	empty := m.ProtoReflect().New().Interface()
	switch {
	case reflect.TypeOf(empty) != reflect.TypeOf(rsp): // it embeds a message
		return nil
	case proto.Size(m) > 0:
		return proto.Clone(m)
	default:
		return empty
	}
}

// wireCodec is what a wire encodes and decodes with.
type wireCodec struct {
	client      *retryClient
	over        transport
	contentType string
	old         bool // the node announces no protocol, and mucp speaks one of the old ones
}

// decoder is how the wire would decode an answer into rsp, and whether the answer
// is to be received as JSON text rather than as it came. It is nil where that is
// not known, or where an empty response does as well.
func (w wireCodec) decoder(rsp any) (decode func(raw []byte, rsp any) error, text bool) {
	if _, ok := rsp.(*frame.Frame); ok && (w.over == overMucp || w.over == overGRPC) {
		return copyFrame, false
	}
	switch w.over {
	case overMucp:
		if !w.old {
			return w.frameDecoder(rsp), false
		}
		if w.isJSONRPC() {
			return decodeJSON(".codec"), true
		}
	case overHTTP:
		if w.contentType == "application/json" {
			return decodeJSON(""), true
		}
	case overGRPC:
		if w.isJSON() && another(rsp) == nil && !w.customized() {
			return grpcJSON, true
		}
	}
	return nil, false
}

func (w wireCodec) isJSON() bool {
	return w.contentType == "application/json" || w.contentType == "application/grpc+json"
}

// marshalsJSON tells whether the wire encodes a body, of whatever type, with
// encoding/json: a codec of the user's own may look at its type.
func (w wireCodec) marshalsJSON() bool {
	switch w.over {
	case overMucp:
		return w.old && w.isJSONRPC()
	case overHTTP:
		return w.contentType == "application/json"
	default:
		return w.over == overGRPC && w.isJSON() && !w.customized()
	}
}

// isJSONRPC tells whether mucp's old protocol is JSON-RPC.
func (w wireCodec) isJSONRPC() bool {
	return w.contentType == "application/json" || w.contentType == "application/json-rpc"
}

// customized tells whether the client was given codecs with the grpc plugin's own
// option. It keeps them in its context under a key that only its name tells.
func (w wireCodec) customized() bool {
	ctx := w.client.Client.Options().Context
	return ctx != nil && strings.Contains(fmt.Sprint(ctx), "grpc.codecsKey")
}

// frameDecoder is how go-micro's own client would decode what it has received
// into rsp, where one of its own codecs does; else nil.
func (w wireCodec) frameDecoder(rsp any) func([]byte, any) error {
	made := w.client.codecFor(w.contentType)
	switch _, message := rsp.(proto.Message); {
	case !isOfMicro(made):
		return nil
	case isFunc(made, microproto.NewCodec) && message:
		return unmarshalProto
	}
	return func(raw []byte, rsp any) error { return decodeWith(made, raw, rsp) }
}

func unmarshalProto(raw []byte, rsp any) error {
	m, _ := rsp.(proto.Message) // frameDecoder has looked
	if err := proto.Unmarshal(raw, m); err != nil {
		return asClientError(".codec", err)
	}
	return nil
}

func copyFrame(raw []byte, rsp any) error {
	f, _ := rsp.(*frame.Frame) // decoder has looked
	f.Data = raw
	return nil
}

func decodeJSON(part string) func([]byte, any) error {
	return func(raw []byte, rsp any) error { return asClientError(part, json.Unmarshal(raw, rsp)) }
}

// readCloser is a connection of which only what was received is left.
type readCloser struct{ *bytes.Reader }

func (readCloser) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (readCloser) Close() error              { return nil }

// asClientError is how go-micro's clients put the error of a decoder.
func asClientError(part string, err error) error {
	if err == nil {
		return nil
	}
	return merrors.InternalServerError("go.micro.client"+part, "%s", err.Error())
}

// grpcJSON decodes with the codec that go-micro's grpc client has registered,
// which is configured in a place that nobody else can see. Its server registers
// one, too, which decodes no differently but for numbers in an interface.
func grpcJSON(raw []byte, rsp any) error {
	registered := encoding.GetCodec("json")
	if registered == nil {
		return asClientError("", json.Unmarshal(raw, rsp))
	}
	if err := registered.Unmarshal(raw, rsp); err != nil {
		return merrors.InternalServerError("go.micro.client", "grpc: failed to unmarshal the received message: %v", err)
	}
	return nil
}
