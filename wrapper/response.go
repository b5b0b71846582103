package wrapper

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"

	"go-micro.dev/v4/client"
	microjson "go-micro.dev/v4/codec/json"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// reply is where one attempt receives its answer, apart from the caller's
// response: a late one must not write to memory that the caller owns again.
// What JSON says is kept as it came and decoded into the response itself, which
// may hold pointers or values of the caller's to decode into.
type reply struct {
	rsp    any // the caller's
	target any // the attempt's own
	raw    json.RawMessage
	decode func(raw []byte, rsp any) error // nil: target is of rsp's type
}

// receiver makes the room for an answer that the given wire decodes; empty is a
// wire that is not known. A response that is neither protobuf nor decoded from
// JSON, and that the caller has filled in, cannot be had twice: it is the
// attempt's own, as it would be bare.
func (c *retryClient) receiver(over transport, req client.Request, node *registry.Node, rsp any) *reply {
	r := &reply{rsp: rsp, target: rsp}
	v := reflect.ValueOf(rsp)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return r
	}
	if r.decode = c.jsonDecoder(over, req, node); r.decode != nil {
		r.target = &r.raw
	} else if m, ok := rsp.(proto.Message); ok {
		r.target = m.ProtoReflect().New().Interface()
	} else if v.Elem().IsZero() {
		r.target = reflect.New(v.Type().Elem()).Interface()
	}
	return r
}

// deliver moves the reply to the caller.
func (r *reply) deliver() error {
	switch {
	case r.decode != nil:
		if r.raw == nil {
			return nil
		}
		return r.decode(r.raw, r.rsp)
	case r.target == nil || reflect.TypeOf(r.target).Kind() != reflect.Pointer:
		return nil
	}
	if from, to := reflect.ValueOf(r.target), reflect.ValueOf(r.rsp); from.Pointer() != to.Pointer() {
		to.Elem().Set(from.Elem())
	}
	return nil
}

// isolable tells whether rsp can be decoded apart and moved into place later:
// it must be a pointer to something.
func isolable(rsp any) bool {
	v := reflect.ValueOf(rsp)
	return v.Kind() == reflect.Pointer && !v.IsNil()
}

// jsonDecoder is how the wire would decode the request's JSON answer; nil: it is
// not known to answer in JSON.
func (c *retryClient) jsonDecoder(over transport, req client.Request, node *registry.Node) func([]byte, any) error {
	if !strings.Contains(req.ContentType(), "json") {
		return nil
	}
	switch over {
	case overMucp:
		return c.mucpJSON(req.ContentType(), node)
	case overGRPC:
		return grpcJSON
	case overHTTP:
		return func(raw []byte, rsp any) error { return asClientError("", json.Unmarshal(raw, rsp)) }
	default:
		return nil
	}
}

// mucpJSON decodes as go-micro's own codecs do. Nodes that announce no protocol
// are spoken to in JSON-RPC.
func (c *retryClient) mucpJSON(contentType string, node *registry.Node) func([]byte, any) error {
	if node.Metadata["protocol"] == "" {
		return func(raw []byte, rsp any) error { return asClientError(".codec", json.Unmarshal(raw, rsp)) }
	}
	own, ok := c.Client.Options().Codecs[contentType]
	if !ok {
		own = client.DefaultCodecs[contentType]
	}
	if own == nil || reflect.ValueOf(own).Pointer() != reflect.ValueOf(microjson.NewCodec).Pointer() {
		return nil
	}
	return func(raw []byte, rsp any) error {
		return asClientError(".codec", own(readCloser{bytes.NewReader(raw)}).ReadBody(rsp))
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
