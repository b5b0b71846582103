package wrapper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	grpcclient "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/codec"
	frame "go-micro.dev/v4/codec/bytes"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/oncemore-dev/oncemore/internal/fixture"
	"github.com/oncemore-dev/oncemore/retryfunc"
	"github.com/oncemore-dev/oncemore/wrapper"
)

// Parrot answers what it was asked, so that a test chooses the reply.
type Parrot struct{}

// Frame answers the very bytes.
func (Parrot) Frame(_ context.Context, req, rsp *frame.Frame) error {
	rsp.Data = bytes.Clone(req.Data)
	return nil
}

// JSON answers what it was asked in JSON, whatever frames it.
func (Parrot) JSON(_ context.Context, req, rsp *json.RawMessage) error {
	*rsp = bytes.Clone(*req)
	return nil
}

// Proto answers a message.
func (Parrot) Proto(_ context.Context, req, rsp *wrapperspb.StringValue) error {
	rsp.Value = req.GetValue()
	return nil
}

// parrots are instances that have a Parrot.
func parrots(i fixture.Instance) ([]server.Option, error) {
	i.Handle(new(Parrot))
	return nil, nil
}

type (
	user     struct{ Name, Mail string }
	envelope struct {
		Data any
		Meta map[string]string
	}
	// embedding is a message by what it embeds.
	embedding struct {
		wrapperspb.StringValue

		Note string
	}
)

// oldMessage is a message of the first protobuf API.
type oldMessage struct {
	Value string `protobuf:"bytes,1,opt,name=value,proto3"`
}

func (m *oldMessage) Reset()         { *m = oldMessage{} }
func (m *oldMessage) String() string { return m.Value }
func (*oldMessage) ProtoMessage()    {}

func dynamic(value string) proto.Message {
	m := dynamicpb.NewMessage(new(wrapperspb.StringValue).ProtoReflect().Descriptor())
	if value != "" {
		m.Set(m.Descriptor().Fields().ByName("value"), wrapperspb.String(value).ProtoReflect().Get(wrapperspb.File_google_protobuf_wrappers_proto.Messages().ByName("StringValue").Fields().ByName("value")))
	}
	return m
}

// shouting is a JSON codec of somebody's own, for mucp and for grpc.
type shouting struct{ io.ReadWriteCloser }

func newShouting(c io.ReadWriteCloser) codec.Codec { return shouting{c} }

func (shouting) ReadHeader(*codec.Message, codec.MessageType) error { return nil }

func (s shouting) ReadBody(b any) error {
	raw, err := io.ReadAll(s.ReadWriteCloser)
	if b == nil || err != nil {
		return err
	}
	return s.Unmarshal(raw, b)
}

func (s shouting) Write(_ *codec.Message, b any) error {
	raw, err := s.Marshal(b)
	if err != nil {
		return err
	}
	_, err = s.ReadWriteCloser.Write(raw)
	return err
}

// Marshal knows the types that the tests send, as a codec with generated code does.
func (shouting) Marshal(v any) ([]byte, error) {
	switch v.(type) {
	case *json.RawMessage, *frame.Frame, proto.Message:
		return json.Marshal(v)
	default:
		return nil, fmt.Errorf("a request of type %T", v)
	}
}

func (shouting) Unmarshal(raw []byte, b any) error { return json.Unmarshal(bytes.ToUpper(raw), b) }
func (shouting) Name() string                      { return "json" }
func (shouting) String() string                    { return "shouting" }

// exchangeCase is a call that answers reply into a response that response makes.
type exchangeCase struct {
	name        string
	transport   string // empty: either
	contentType string
	reply       any // what the Parrot is sent: a *frame.Frame, a *json.RawMessage or a message
	response    func() any
	options     []client.Option
	noProtocol  bool
	cut         bool // cannot be told from a reply that was cut on mucp, which is tried again
	alone       bool // two attempts cannot share the response
}

func exchangeCases() []exchangeCase {
	const (
		jsonType  = "application/json"
		protoType = "application/protobuf"
	)
	raw := func(s string) *frame.Frame { return &frame.Frame{Data: []byte(s)} }
	asJSON := func(s string) *json.RawMessage { m := json.RawMessage(s); return &m }
	ann := raw(`{"Name":"Ann","Mail":"ann@example.org"}`)
	inData := raw(`{"Data":{"Name":"Ann"},"Meta":{"a":"b"}}`)
	hello := wrapperspb.String("hello")
	mucpCodec, grpcCodec := client.Codec(jsonType, newShouting), grpcclient.Codec(jsonType, shouting{})
	return []exchangeCase{
		{name: "message", contentType: protoType, reply: hello, response: func() any { return new(wrapperspb.StringValue) }},
		{name: "filled message", contentType: protoType, reply: wrapperspb.String(""), response: func() any { return wrapperspb.String("before") }},
		{name: "dynamic message", contentType: protoType, reply: hello, response: func() any { return dynamic("") }},
		{name: "filled dynamic message", contentType: protoType, reply: hello, response: func() any { return dynamic("before") }},
		{name: "message of the old API", contentType: protoType, reply: hello, response: func() any { return new(oldMessage) }},
		{name: "filled message of the old API", contentType: protoType, reply: wrapperspb.String(""), response: func() any { return &oldMessage{"before"} }, alone: true},
		{name: "embedded message", contentType: protoType, reply: hello, response: func() any { return new(embedding) }},
		{name: "filled embedded message", contentType: protoType, reply: hello, response: func() any { return &embedding{Note: "mine"} }, alone: true},
		{name: "frame", contentType: protoType, reply: hello, response: func() any { return new(frame.Frame) }},
		{name: "filled frame", contentType: protoType, reply: hello, response: func() any { return raw("before") }},
		{name: "nil", contentType: protoType, reply: hello, response: func() any { return nil }},
		{name: "typed nil", transport: fixture.MUCP, contentType: protoType, reply: hello, response: func() any { return (*wrapperspb.StringValue)(nil) }},
		{name: "no message", contentType: protoType, reply: hello, response: func() any { return new(user) }},
		{name: "message that cannot be decoded", contentType: protoType, reply: raw("\xff\xff\xff"), response: func() any { return new(wrapperspb.StringValue) }},

		{name: "JSON into a struct", contentType: jsonType, reply: ann, response: func() any { return new(user) }},
		{name: "JSON into a filled struct", contentType: jsonType, reply: raw(`{"Name":"Ann"}`), response: func() any { return &user{"Bob", "bob@example.org"} }},
		{name: "JSON into an envelope", contentType: jsonType, reply: inData, response: func() any { return &envelope{Data: new(user)} }},
		{name: "JSON into a filled envelope", contentType: jsonType, reply: inData, response: func() any {
			return &envelope{Data: &user{Mail: "kept"}, Meta: map[string]string{"kept": "too"}}
		}},
		{name: "JSON into an interface that holds a pointer", contentType: jsonType, reply: ann, response: func() any { var a any = new(user); return &a }},
		{name: "JSON into an interface", contentType: jsonType, reply: ann, response: func() any { return new(any) }},
		{name: "JSON into a map", contentType: jsonType, reply: ann, response: func() any { return new(map[string]any) }},
		{name: "JSON into a filled map", contentType: jsonType, reply: ann, response: func() any { return &map[string]any{"kept": "yes"} }},
		{name: "JSON into what is no pointer", contentType: jsonType, reply: ann, response: func() any { return map[string]any{"kept": "yes"} }, alone: true},
		{name: "JSON into bytes", contentType: jsonType, reply: raw(`"aGVsbG8="`), response: func() any { return new([]byte) }},
		{name: "JSON into filled bytes", contentType: jsonType, reply: raw(`"aGVsbG8="`), response: func() any { b := []byte("before"); return &b }},
		{name: "JSON into a frame", contentType: jsonType, reply: ann, response: func() any { return new(frame.Frame) }},
		{name: "JSON into a filled frame", contentType: jsonType, reply: raw(` {"a" : 1} `), response: func() any { return raw("before") }},
		{name: "JSON into raw JSON", contentType: jsonType, reply: ann, response: func() any { return new(json.RawMessage) }},
		{name: "JSON null", contentType: jsonType, reply: raw("null"), response: func() any { return &user{"Bob", ""} }},
		{name: "no JSON", contentType: jsonType, reply: raw(""), response: func() any { return &user{"Bob", ""} }, cut: true},
		{name: "broken JSON", contentType: jsonType, reply: raw(`{"Name":`), response: func() any { return new(user) }},
		{name: "broken JSON into a filled struct", contentType: jsonType, reply: raw(`{"Name":"100%", nonsense`), response: func() any { return &user{"Bob", ""} }},
		{name: "JSON of another type", contentType: jsonType, reply: raw(`{"Name":7}`), response: func() any { return new(user) }},
		{name: "JSON of another type into a filled struct", contentType: jsonType, reply: raw(`{"Name":7}`), response: func() any { return &user{"Bob", ""} }},
		{name: "JSON into a message", contentType: jsonType, reply: raw(`"hello"`), response: func() any { return new(wrapperspb.StringValue) }},
		{name: "JSON into a filled message", contentType: jsonType, reply: raw(`"hello"`), response: func() any { return wrapperspb.String("before") }},
		{name: "JSON into a dynamic message", contentType: jsonType, reply: raw(`"hello"`), response: func() any { return dynamic("") }},
		{name: "JSON of another type into a message", contentType: jsonType, reply: raw(`{"no":1}`), response: func() any { return new(wrapperspb.StringValue) }},

		{name: "bytes", transport: fixture.MUCP, contentType: "application/octet-stream", reply: raw("hello"), response: func() any { return new([]byte) }},
		{name: "filled bytes", transport: fixture.MUCP, contentType: "application/octet-stream", reply: raw("hello"), response: func() any { b := []byte("before"); return &b }},
		{name: "bytes into a struct", transport: fixture.MUCP, contentType: "application/octet-stream", reply: raw("hello"), response: func() any { return new(user) }},
		{name: "bytes", transport: fixture.GRPC, contentType: "application/grpc+bytes", reply: raw("hello"), response: func() any { return new([]byte) }},
		{name: "filled bytes", transport: fixture.GRPC, contentType: "application/grpc+bytes", reply: raw("hello"), response: func() any { b := []byte("before"); return &b }, alone: true},
		{name: "JSON of grpc", transport: fixture.GRPC, contentType: "application/grpc+json", reply: inData, response: func() any { return &envelope{Data: new(user)} }},

		{name: "own codec", transport: fixture.MUCP, contentType: jsonType, reply: ann, response: func() any { return new(user) }, options: []client.Option{mucpCodec}},
		{name: "own codec, filled", transport: fixture.MUCP, contentType: jsonType, reply: inData, response: func() any { return &envelope{Data: new(user)} }, options: []client.Option{mucpCodec}, alone: true},
		{name: "own codec, frame", transport: fixture.MUCP, contentType: jsonType, reply: ann, response: func() any { return new(frame.Frame) }, options: []client.Option{mucpCodec}},
		{name: "own codec, message", transport: fixture.MUCP, contentType: jsonType, reply: raw(`{"value":"x"}`), response: func() any { return wrapperspb.String("before") }, options: []client.Option{mucpCodec}},
		{name: "own codec, broken", transport: fixture.MUCP, contentType: jsonType, reply: raw(`{`), response: func() any { return new(user) }, options: []client.Option{mucpCodec}},
		{name: "own codec", transport: fixture.GRPC, contentType: jsonType, reply: ann, response: func() any { return new(user) }, options: []client.Option{grpcCodec}},
		{name: "own codec, filled", transport: fixture.GRPC, contentType: jsonType, reply: inData, response: func() any { return &envelope{Data: new(user)} }, options: []client.Option{grpcCodec}, alone: true},
		{name: "own codec, frame", transport: fixture.GRPC, contentType: jsonType, reply: ann, response: func() any { return new(frame.Frame) }, options: []client.Option{grpcCodec}},
		{name: "own codec, message", transport: fixture.GRPC, contentType: jsonType, reply: raw(`{"value":"x"}`), response: func() any { return wrapperspb.String("before") }, options: []client.Option{grpcCodec}},
		{name: "own codec, broken", transport: fixture.GRPC, contentType: jsonType, reply: raw(`{`), response: func() any { return new(user) }, options: []client.Option{grpcCodec}},

		{name: "JSON-RPC", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`{"Name":"Ann"}`), response: func() any { return new(user) }, noProtocol: true},
		{name: "JSON-RPC into an envelope", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`{"Data":{"Name":"Ann"}}`), response: func() any { return &envelope{Data: new(user)} }, noProtocol: true},
		{name: "JSON-RPC into a filled message", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`{"value":"x"}`), response: func() any { return wrapperspb.String("before") }, noProtocol: true},
		{name: "JSON-RPC into a frame", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`{"Name":"Ann"}`), response: func() any { return new(frame.Frame) }, noProtocol: true},
		{name: "JSON-RPC null", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`null`), response: func() any { return &user{"Bob", ""} }, noProtocol: true},
		{name: "JSON-RPC of another type", transport: fixture.MUCP, contentType: jsonType, reply: asJSON(`{"Name":7}`), response: func() any { return &user{"Bob", ""} }, noProtocol: true},
		{name: "proto-RPC", transport: fixture.MUCP, contentType: protoType, reply: hello, response: func() any { return new(wrapperspb.StringValue) }, noProtocol: true},
		{name: "proto-RPC, filled", transport: fixture.MUCP, contentType: protoType, reply: wrapperspb.String(""), response: func() any { return wrapperspb.String("before") }, noProtocol: true},
		{name: "proto-RPC, dynamic", transport: fixture.MUCP, contentType: protoType, reply: hello, response: func() any { return dynamic("before") }, noProtocol: true},
		{name: "proto-RPC, old API", transport: fixture.MUCP, contentType: protoType, reply: hello, response: func() any { return new(oldMessage) }, noProtocol: true},
	}
}

// TestResponses compares what arrives in every kind of response with what the bare
// client makes of it: on a first attempt, on a retry, and on an attempt beside
// another, on both transports.
func TestResponses(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		alive := fixture.Start(t, fixture.Config{Transport: transport, Setup: "parrots"})
		frozen := fixture.Start(t, fixture.Config{Transport: transport, Setup: "parrots"})
		frozen.Freeze()
		dead := fixture.RefusedAddress(t)
		for _, tt := range exchangeCases() {
			if tt.transport != "" && tt.transport != transport {
				continue
			}
			bare := tt.make(t, transport, nil, alive.Address())
			want := tt.run(t, bare)
			for _, way := range []struct {
				name  string
				nodes []string
			}{
				{"first attempt", []string{alive.Address()}},
				{"retry", []string{dead, alive.Address()}},
				{"beside another", []string{frozen.Address(), alive.Address()}},
			} {
				if way.name == "beside another" && (tt.alone || want.err != "") {
					continue // an error is no answer: the other attempt may have one yet
				}
				t.Run(tt.name+"/"+way.name, func(t *testing.T) {
					got := tt.run(t, tt.make(t, transport, callInParts(t, tt.cut), way.nodes...))
					if got != want {
						t.Errorf("got %v, bare %v", got, want)
					}
				})
			}
		}
	})
}

// callInParts lets an attempt be made beside one that takes a hundredth of the time. cut
// says that what was answered cannot be told from a reply that was cut.
func callInParts(t *testing.T, cut bool) []wrapper.ClientOption {
	t.Helper()
	return []wrapper.ClientOption{
		wrapper.WithSafety(retryfunc.Every(retryfunc.SafetySafe)), wrapper.WithAttempts(100), wrapper.WithBreaker(newSet(t)),
		wrapper.WithPolicy(func(ctx context.Context, req client.Request, n int, err error) (bool, error) {
			if a, ok := retryfunc.AttemptFrom(ctx); ok && (a.Class == retryfunc.Internal || cut && a.Class == retryfunc.Broken) {
				return false, nil // what cannot be decoded is no better elsewhere
			}
			return retryfunc.Careful(ctx, req, n, err)
		}),
	}
}

// make makes a client that tries addresses in their order, bare if opts is nil.
func (tt exchangeCase) make(t *testing.T, transport string, opts []wrapper.ClientOption, addresses ...string) client.Client {
	t.Helper()
	services := nodes(addresses...)
	for _, n := range services[0].Nodes {
		if tt.noProtocol {
			n.Metadata = nil
		}
	}
	c := fixture.NewClient(t, transport, nil, append([]client.Option{client.Selector(fixedSelector{services: services})}, tt.options...)...)
	if opts == nil {
		return c
	}
	return wrap(t, c, opts...)
}

// outcome is what a caller sees of a call.
type outcome struct{ response, err string }

func (tt exchangeCase) run(t *testing.T, c client.Client) outcome {
	t.Helper()
	endpoint := "Parrot.Frame"
	switch tt.reply.(type) {
	case *json.RawMessage:
		endpoint = "Parrot.JSON"
	case *wrapperspb.StringValue:
		endpoint = "Parrot.Proto"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	rsp := tt.response()
	err := c.Call(ctx, c.NewRequest("mirror", endpoint, tt.reply, client.WithContentType(tt.contentType)), rsp)
	if err != nil {
		return outcome{err: describeError(err)} // a failed decoder may leave anything behind
	}
	return outcome{response: describe(t, rsp)}
}

func describe(t *testing.T, rsp any) string {
	t.Helper()
	switch r := rsp.(type) {
	case *embedding:
		return fmt.Sprintf("%q %q", r.GetValue(), r.Note)
	case *dynamicpb.Message:
		text, err := protojson.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	case *envelope:
		return fmt.Sprintf("%T %v %v", r.Data, r.Data, maps.Clone(r.Meta))
	case *any:
		return fmt.Sprintf("%T %v", *r, *r)
	default:
		return fmt.Sprintf("%T %v", rsp, rsp)
	}
}

// describeError leaves out the spaces, which protobuf varies on purpose.
func describeError(err error) string {
	parsed := merrors.FromError(err)
	detail := strings.Join(strings.Fields(strings.ReplaceAll(parsed.Detail, "\u00a0", " ")), " ")
	return fmt.Sprintf("%T %s %d %s", err, parsed.Id, parsed.Code, detail)
}

// TestResponseThatCannotBeHadTwice: a wrapper inside ours hides how it is decoded,
// so that no attempt may be made beside the first, and the call ends as it would
// bare.
func TestResponseThatCannotBeHadTwice(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		alive := fixture.Start(t, fixture.Config{Transport: transport, Setup: "parrots"})
		frozen := fixture.Start(t, fixture.Config{Transport: transport, Setup: "parrots"})
		frozen.Freeze()
		var sent atomic.Int32
		look := func(next client.CallFunc) client.CallFunc {
			return func(ctx context.Context, n *registry.Node, req client.Request, rsp any, opts client.CallOptions) error {
				sent.Add(1)
				return next(ctx, n, req, rsp, opts)
			}
		}
		tt := exchangeCase{contentType: "application/json"}
		stock := tt.make(t, transport, nil, frozen.Address(), alive.Address())
		c := wrap(t, within{stock, look}, callInParts(t, false)...)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		req := c.NewRequest("mirror", "Parrot.Frame", &frame.Frame{Data: []byte(`{"Name":"Ann"}`)}, client.WithContentType("application/json"))
		err := c.Call(ctx, req, &envelope{Data: new(user)})
		if e := merrors.FromError(err); err == nil || e.Code != 408 {
			t.Errorf("error %v, want the deadline's", err)
		}
		if got := sent.Load(); got != 1 {
			t.Errorf("%d attempts, want 1", got)
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("it did not wait: %v", ctx.Err())
		}
	})
}

// TestNoRequest, and no response, are errors of go-micro's grpc client.
func TestNoRequest(t *testing.T) {
	bare := fixture.NewClient(t, fixture.GRPC, nil)
	c := wrap(t, bare)
	want, got := bare.Call(t.Context(), nil, new(user)), c.Call(t.Context(), nil, new(user))
	if want == nil || describeError(got) != describeError(want) {
		t.Errorf("no request: got %v, bare %v", got, want)
	}
	req := fixture.NewRequest(c, fixture.Echo, "")
	want, got = bare.Call(t.Context(), req, nil), c.Call(t.Context(), req, nil)
	if want == nil || describeError(got) != describeError(want) {
		t.Errorf("no response: got %v, bare %v", got, want)
	}
}
