package wrapper

import (
	"bytes"

	"go-micro.dev/v4/codec"
	frame "go-micro.dev/v4/codec/bytes"
	microproto "go-micro.dev/v4/codec/proto"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport/headers"
)

// framedStream encodes the messages of a handler before go-micro's mucp server does:
// that encodes all of them into one buffer, and sends what is in it later, so that a
// message which follows another at once takes its place.
type framedStream struct {
	server.Stream
	codec codec.NewCodec
}

// Send sends a message; see server.Stream. What cannot be encoded is left to go-micro,
// which tells the caller.
func (f *framedStream) Send(msg any) error {
	encoded, ok := f.encode(msg)
	if !ok {
		return f.Stream.Send(msg)
	}
	return f.Stream.Send(&frame.Frame{Data: encoded})
}

func (f *framedStream) encode(msg any) ([]byte, bool) {
	if sent, ok := msg.(*frame.Frame); ok {
		if sent == nil {
			return nil, false
		}
		return bytes.Clone(sent.Data), true
	}
	encoded, err := encodeWith(f.codec, msg)
	return encoded, err == nil
}

// framed returns a handler's stream with messages that do not overwrite each other,
// where it is mucp's, and one of go-micro's own codecs encodes them.
func (d *deduper) framed(req server.Request, rsp any) any {
	stream, ok := rsp.(server.Stream)
	if !ok || typeName(rsp) != "go-micro.dev/v4/server.rpcStream" || speaksOldProtocol(req.Header()) {
		return rsp
	}
	made := d.codecFor(req.ContentType())
	if !isOfMicro(made) {
		return rsp
	}
	return &framedStream{stream, made}
}

// codecFor is the codec that the server uses; nil: it is not known. Without the server
// it is known of protobuf only, which every codec encodes alike.
func (d *deduper) codecFor(contentType string) codec.NewCodec {
	made := server.DefaultCodecs[contentType]
	if d.codecs == nil {
		if made == nil || !isFunc(made, microproto.NewCodec) {
			return nil
		}
		return made
	}
	if own, ok := d.codecs()[contentType]; ok {
		return own
	}
	return made
}

// speaksOldProtocol tells whether go-micro's server answers in what was spoken before
// there was mucp, with an envelope in each message. It decides as the server does.
func speaksOldProtocol(header map[string]string) bool {
	get := func(name string) string {
		if value := header[name]; value != "" {
			return value
		}
		return header["X-"+name]
	}
	if get(headers.Protocol) != "" || get(headers.Message) != "" {
		return false
	}
	routed := get(headers.Request) != "" || get(headers.Method) != "" || get(headers.Endpoint) != ""
	return !routed || get(headers.Target) != ""
}
