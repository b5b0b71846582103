package wrapper

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
	frame "go-micro.dev/v4/codec/bytes"
	microjson "go-micro.dev/v4/codec/json"
	microproto "go-micro.dev/v4/codec/proto"
	"go-micro.dev/v4/registry"
	"google.golang.org/protobuf/proto"
)

// outgoing is a request as one attempt hands it to the wire. Its body is as it was
// when the caller waited for the call: an attempt that has a connection after
// another was answered would otherwise read what the caller writes again.
type outgoing struct {
	client.Request
	body    any
	dialing *dialing // to be told when the body is asked for; may be nil
}

// Body is asked for by mucp when it has a connection, and is about to send.
func (o *outgoing) Body() any {
	if o.dialing != nil && !o.dialing.connected() {
		return unsendable(nil)
	}
	return o.body
}

// unsendable is what no codec of go-micro's encodes.
type unsendable chan struct{}

// outgoing returns the request for a wire, and whether the wire will ask d before
// it sends. Only of a call that may run twice can one attempt be answered before
// another has encoded the body.
func (s *call) outgoing(
	over transport, req client.Request, node *registry.Node, d *dialing, repeatable bool,
) (client.Request, bool) {
	if over == overMucp && node.Metadata["protocol"] != "" {
		if body, ok := s.client.encode(req); ok {
			d.body.Data = body
			d.request = outgoing{req, &d.body, d}
			return &d.request, true
		}
	}
	asks := d != nil && d.over != overMucp
	if over == "" || !repeatable && over != overHTTP {
		return req, asks
	}
	switch body := req.Body().(type) {
	case proto.Message:
		if body.ProtoReflect().IsValid() {
			return &outgoing{req, proto.Clone(body), nil}, asks
		}
	case *frame.Frame:
		if body != nil {
			return &outgoing{req, &frame.Frame{Data: bytes.Clone(body.Data)}, nil}, asks
		}
	default:
		w := wireCodec{s.client, over, req.ContentType(), node.Metadata["protocol"] == ""}
		if w.marshalsJSON() {
			return &outgoing{req, &lockedJSON{s, body}, nil}, asks
		}
	}
	return req, asks
}

// lockedJSON is a body that is read only while the call's caller waits for it.
type lockedJSON struct {
	call *call
	body any
}

// MarshalJSON encodes the body, unless the call is over.
func (b *lockedJSON) MarshalJSON() ([]byte, error) {
	b.call.reading.RLock()
	defer b.call.reading.RUnlock()
	if ended, _ := b.call.state(); ended {
		return nil, errCallEnded(b.call.ctx)
	}
	return json.Marshal(b.body)
}

// encode encodes the body as mucp would, where one of go-micro's own codecs does.
// Of a body that cannot be encoded mucp will say so itself.
func (c *retryClient) encode(req client.Request) (encoded []byte, ok bool) {
	defer func() { ok = recover() == nil && ok }() // mucp answers for the panic of an encoder
	body, made := req.Body(), c.codecFor(req.ContentType())
	if made == nil {
		return nil, false
	}
	switch b := body.(type) {
	case nil:
		return nil, true
	case *frame.Frame:
		return bytes.Clone(b.Data), true
	}
	var err error
	switch reflect.ValueOf(made).Pointer() {
	case reflect.ValueOf(microproto.NewCodec).Pointer():
		m, isProto := body.(proto.Message)
		if !isProto {
			return nil, false
		}
		encoded, err = proto.Marshal(m)
	case reflect.ValueOf(microjson.NewCodec).Pointer():
		encoded, err = encodeWith(made, body)
	default:
		return nil, false
	}
	return encoded, err == nil
}

// codecFor is the codec that go-micro's own client uses; nil: it knows none. The options
// of a client are large: they leave the stack before its caller encodes anything.
//
//go:noinline
func (c *retryClient) codecFor(contentType string) codec.NewCodec {
	if made, ok := c.Client.Options().Codecs[contentType]; ok {
		return made
	}
	return client.DefaultCodecs[contentType]
}

// writeCloser is a connection that keeps what is written.
type writeCloser struct{ bytes.Buffer }

// Read has nothing to read.
func (*writeCloser) Read([]byte) (int, error) { return 0, io.EOF }

// Close does nothing.
func (*writeCloser) Close() error { return nil }
