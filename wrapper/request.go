package wrapper

import (
	"bytes"
	"io"
	"reflect"
	"strings"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
	frame "go-micro.dev/v4/codec/bytes"
	microjson "go-micro.dev/v4/codec/json"
	microproto "go-micro.dev/v4/codec/proto"
	"google.golang.org/grpc/encoding"
)

// encodedRequest is a request whose body was encoded while its call was open: an
// attempt beside another may come to send it when the caller has been answered,
// and changes its message.
type encodedRequest struct {
	client.Request
	body *frame.Frame
}

// Body is what the client sends as it is.
func (r encodedRequest) Body() any { return r.body }

// encode encodes the body of a request as the given wire would; nil: it is not
// known how.
func (c *retryClient) encode(over transport, req client.Request) *frame.Frame {
	switch over {
	case overMucp:
		return c.encodeMucp(req)
	case overGRPC:
		return encodeGRPC(req)
	default:
		return nil
	}
}

func (c *retryClient) encodeMucp(req client.Request) *frame.Frame {
	made := c.codec(req.ContentType())
	if made == nil {
		return nil
	}
	var sent buffer
	if err := made(&sent).Write(&codec.Message{}, req.Body()); err != nil {
		return nil // the attempt will say so
	}
	return &frame.Frame{Data: sent.Bytes()}
}

// codec is the one that go-micro's own client uses for a type of content, if it is
// one of those that write nothing but the body; else nil.
func (c *retryClient) codec(contentType string) codec.NewCodec {
	made, ok := c.Client.Options().Codecs[contentType]
	if !ok {
		made = client.DefaultCodecs[contentType]
	}
	if made == nil {
		return nil
	}
	switch reflect.ValueOf(made).Pointer() {
	case reflect.ValueOf(microproto.NewCodec).Pointer(), reflect.ValueOf(microjson.NewCodec).Pointer():
		return made
	default:
		return nil
	}
}

// buffer is a connection that keeps what is sent.
type buffer struct{ bytes.Buffer }

// Read has nothing to read.
func (*buffer) Read([]byte) (int, error) { return 0, io.EOF }

// Close does nothing.
func (*buffer) Close() error { return nil }

// encodeGRPC uses the codecs that go-micro's grpc client has registered.
func encodeGRPC(req client.Request) *frame.Frame {
	name := "proto"
	if strings.Contains(req.ContentType(), "json") {
		name = "json"
	}
	registered := encoding.GetCodec(name)
	if registered == nil {
		return nil
	}
	body, err := registered.Marshal(req.Body())
	if err != nil {
		return nil
	}
	return &frame.Frame{Data: body}
}
