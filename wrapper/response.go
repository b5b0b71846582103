package wrapper

import (
	"bytes"
	"encoding/json"
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

// reply is where one attempt receives its answer, apart from the caller's
// response: a late one must not write to memory that the caller owns again.
// Where the wire would decode it, and how, is known, the answer is kept as it came
// and decoded into the response itself, which may hold pointers or values of the
// caller's to decode into.
type reply struct {
	rsp    any // the caller's
	target any // the attempt's own
	text   json.RawMessage
	frame  frame.Frame
	decode func(raw []byte, rsp any) error // nil: target is of rsp's type
}

// receive makes the room for an answer that the given wire decodes; empty is a
// wire that is not known. A response that is neither protobuf nor decoded from
// JSON, and that the caller has filled in, cannot be had twice: it is the
// attempt's own, as it would be bare.
func (r *reply) receive(c *retryClient, over transport, req client.Request, node *registry.Node, rsp any) {
	r.rsp, r.target = rsp, rsp
	v := reflect.ValueOf(rsp)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	if over == overMucp && node.Metadata["protocol"] != "" {
		if r.decode = c.frameDecoder(req.ContentType(), rsp); r.decode != nil {
			r.target = &r.frame
			return
		}
	}
	if r.decode = jsonDecoder(over, req, node); r.decode != nil {
		r.target = &r.text
	} else if m, ok := rsp.(proto.Message); ok {
		r.target = m.ProtoReflect().New().Interface()
	} else if v.Elem().IsZero() {
		r.target = reflect.New(v.Type().Elem()).Interface()
	}
}

// deliver moves the reply to the caller.
func (r *reply) deliver() error {
	switch {
	case r.target == &r.frame:
		return r.decode(r.frame.Data, r.rsp)
	case r.decode != nil:
		if r.text == nil {
			return nil
		}
		return r.decode(r.text, r.rsp)
	case r.target == nil || reflect.TypeOf(r.target).Kind() != reflect.Pointer:
		return nil
	}
	if from, to := reflect.ValueOf(r.target), reflect.ValueOf(r.rsp); from.Pointer() != to.Pointer() {
		to.Elem().Set(from.Elem())
	}
	return nil
}

// frameDecoder is how go-micro's own client would decode what it has received
// into rsp, where one of its own codecs does; else nil.
func (c *retryClient) frameDecoder(contentType string, rsp any) func([]byte, any) error {
	made := c.codecFor(contentType)
	if made == nil {
		return nil
	}
	if reflect.ValueOf(made).Pointer() == reflect.ValueOf(microproto.NewCodec).Pointer() {
		if _, ok := rsp.(proto.Message); ok {
			return unmarshalProto
		}
		return nil
	}
	return func(raw []byte, rsp any) error {
		return asClientError(".codec", made(readCloser{bytes.NewReader(raw)}).ReadBody(rsp))
	}
}

func unmarshalProto(raw []byte, rsp any) error {
	m, _ := rsp.(proto.Message) // frameDecoder has looked
	if err := proto.Unmarshal(raw, m); err != nil {
		return asClientError(".codec", err)
	}
	return nil
}

// jsonDecoder is how the wire would decode the request's JSON answer; nil: it is
// not known to answer in JSON. To nodes that announce no protocol, mucp speaks
// JSON-RPC.
func jsonDecoder(over transport, req client.Request, node *registry.Node) func([]byte, any) error {
	if !strings.Contains(req.ContentType(), "json") {
		return nil
	}
	switch {
	case over == overMucp && node.Metadata["protocol"] == "":
		return func(raw []byte, rsp any) error { return asClientError(".codec", json.Unmarshal(raw, rsp)) }
	case over == overGRPC:
		return grpcJSON
	case over == overHTTP:
		return func(raw []byte, rsp any) error { return asClientError("", json.Unmarshal(raw, rsp)) }
	default:
		return nil
	}
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
// which is configured in a place that nobody else can see.
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
