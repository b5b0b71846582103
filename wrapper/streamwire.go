package wrapper

import (
	"bytes"
	"errors"
	"io"
	"reflect"

	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
	frame "go-micro.dev/v4/codec/bytes"
	microjson "go-micro.dev/v4/codec/json"
	microproto "go-micro.dev/v4/codec/proto"
	"go-micro.dev/v4/transport/headers"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// streamWire encodes and decodes the messages of a stream as its wire would, so that
// they can be sent again to another instance, and received before it is known into
// what. The zero value is a wire of which that is not known.
type streamWire struct {
	over   transport
	codec  codec.NewCodec // mucp's
	format encoding.Codec // grpc's
}

// streamWireOf is the wire of streams, for a request and the protocol that its node
// announces.
func (c *retryClient) streamWireOf(stream client.Stream, contentType, protocol string) streamWire {
	w := wireCodec{client: c, over: overGRPC, contentType: contentType}
	switch typeName(stream) {
	case "go-micro.dev/v4/client.rpcStream":
		made := c.codecFor(contentType)
		overHTTP1 := c.Client.Options().Transport.String() == "http" // where an end is seen on both sides
		if protocol != "" && overHTTP1 && isOfMicro(made) && connectionOf(stream) != nil {
			return streamWire{over: overMucp, codec: made}
		}
	case "github.com/go-micro/plugins/v4/client/grpc.grpcStream":
		if format := encoding.GetCodec(w.format()); format != nil && !w.customized() {
			return streamWire{over: overGRPC, format: format}
		}
	}
	return streamWire{}
}

// format is the name under which grpc knows what go-micro's plugin encodes with.
func (w wireCodec) format() string {
	if w.isJSON() {
		return "json"
	}
	switch w.contentType {
	case "application/proto", "application/protobuf", "application/octet-stream", "application/grpc", "application/grpc+proto":
		return "proto"
	default:
		return ""
	}
}

// isOfMicro tells whether a codec is one of those of go-micro that encode every
// message by itself.
func isOfMicro(made codec.NewCodec) bool {
	return made != nil && (isFunc(made, microproto.NewCodec) || isFunc(made, microjson.NewCodec) || isFunc(made, frame.NewCodec))
}

// typeName is the type that a pointer points to, with the path of its package.
func typeName(pointer any) string {
	t := reflect.TypeOf(pointer)
	if t == nil || t.Kind() != reflect.Pointer {
		return ""
	}
	return t.Elem().PkgPath() + "." + t.Elem().Name()
}

// encode encodes a message. Its error is the one that the stream would return.
func (w streamWire) encode(msg any) ([]byte, error) {
	if f, ok := msg.(*frame.Frame); ok && f != nil {
		return bytes.Clone(f.Data), nil
	}
	if w.over == overGRPC {
		encoded, err := w.format.Marshal(msg)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
		}
		return encoded, nil
	}
	if msg == nil {
		return nil, nil
	}
	return encodeWith(w.codec, msg)
}

// encodeWith encodes one message with a codec of go-micro's.
func encodeWith(made codec.NewCodec, msg any) ([]byte, error) {
	var buffer writeCloser
	if err := made(&buffer).Write(new(codec.Message), msg); err != nil {
		return nil, asClientError(".codec", err)
	}
	return buffer.Bytes(), nil
}

// decode decodes a message.
func (w streamWire) decode(raw []byte, msg any) error {
	if f, ok := msg.(*frame.Frame); ok && f != nil {
		f.Data = raw
		return nil
	}
	if w.over == overGRPC {
		if err := w.format.Unmarshal(raw, msg); err != nil {
			return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
		}
		return nil
	}
	return decodeWith(w.codec, raw, msg)
}

// decodeWith decodes one message with a codec of go-micro's.
func decodeWith(made codec.NewCodec, raw []byte, msg any) error {
	return asClientError(".codec", made(readCloser{bytes.NewReader(raw)}).ReadBody(msg))
}

// send sends an encoded message.
func (streamWire) send(stream client.Stream, encoded []byte) error {
	return stream.Send(&frame.Frame{Data: encoded})
}

// receive receives a message as it came.
func (w streamWire) receive(stream client.Stream) ([]byte, error) {
	if w.over == overGRPC {
		var f frame.Frame
		err := stream.Recv(&f)
		return f.Data, err
	}
	rsp := stream.Response()
	// Past the stream's own Recv, which shares a buffer with Close and takes no lock.
	body, err := rsp.Read()
	if err != nil {
		return nil, asClientError(".transport", err)
	}
	if rsp.Header() == nil { // the transport drops the error of a message that was cut before its body
		return nil, asClientError(".transport", io.ErrUnexpectedEOF)
	}
	switch text := rsp.Header()[headers.Error]; text {
	case "":
		return body, nil
	case endOfStream:
		return nil, io.EOF
	default:
		return nil, serverError(text)
	}
}

// endOfStream is how mucp says that a stream has ended well.
const endOfStream = "EOS"

// serverError is what a mucp peer answered: text, as go-micro's client has it.
type serverError string

// Error is the peer's text.
func (e serverError) Error() string { return string(e) }

// close ends a stream, and with it whoever sends or receives on it. mucp's own Close
// waits for a Send that waits for its peer, and then for that peer itself, to whom it
// says no more than the end of the connection does.
func (w streamWire) close(stream client.Stream) error {
	if w.over == overMucp {
		return connectionOf(stream).Close() // which streamWireOf has seen
	}
	return stream.Close()
}

// connectionOf is the connection of a mucp stream; nil: it is not there to be found.
// go-micro gives it to nobody, and whatever else closes it writes to buffers that a
// Send may be using.
func connectionOf(stream client.Stream) io.Closer {
	response := reflect.ValueOf(stream.Response())
	if response.Kind() != reflect.Pointer || response.Elem().Kind() != reflect.Struct {
		return nil
	}
	field := response.Elem().FieldByName("socket")
	if !field.IsValid() || field.Kind() != reflect.Interface {
		return nil
	}
	connection, _ := reflect.TypeAssert[io.Closer](reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem())
	return connection
}

// errClosed is what a stream returns after its Close.
func (w streamWire) errClosed() error {
	if w.over == overGRPC {
		return status.Error(codes.Canceled, "context canceled")
	}
	return errShutdown
}

var errShutdown = errors.New("connection is shut down")

// ended is what a stream returns when its context ends.
func (w streamWire) ended(why error) error {
	if w.over == overGRPC {
		return status.FromContextError(why).Err()
	}
	return w.over.timedOut(why)
}

// asRequest is the request of a stream that is opened again: with the body that it
// had, and without the codec that go-micro would put into the caller's own.
func (w streamWire) asRequest(req client.Request) (client.Request, error) {
	if w.over == overGRPC {
		return &outgoing{Request: req}, nil // which sends no body
	}
	body, err := w.encode(req.Body())
	if err != nil {
		return nil, err
	}
	return &outgoing{Request: req, body: &frame.Frame{Data: body}}, nil
}
