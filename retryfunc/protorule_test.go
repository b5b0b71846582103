package retryfunc

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// declare adds a .proto file, given as the text of its descriptor, to files.
func declare(tb testing.TB, files *protoregistry.Files, text string) protoreflect.FileDescriptor {
	tb.Helper()
	var fd descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(text), &fd); err != nil {
		tb.Fatal(err)
	}
	file, err := protodesc.NewFile(&fd, files)
	if err != nil {
		tb.Fatal(err)
	}
	if err := files.RegisterFile(file); err != nil {
		tb.Fatal(err)
	}
	return file
}

const helloProto = `name: "hello.proto" package: "hello" syntax: "proto3"
message_type { name: "Ask" } message_type { name: "Other" }
service { name: "Say"
  method { name: "Hello" input_type: ".hello.Ask" output_type: ".hello.Ask" options { idempotency_level: NO_SIDE_EFFECTS } }
  method { name: "Set"   input_type: ".hello.Ask" output_type: ".hello.Ask" options { idempotency_level: IDEMPOTENT } }
  method { name: "Tip"   input_type: ".hello.Ask" output_type: ".hello.Ask" }
}`

// caller declares a service over hello.Ask in a file of its own.
func caller(pkg, level string) string {
	return fmt.Sprintf(`name: "%[1]s.proto" package: "%[1]s" syntax: "proto3" dependency: "hello.proto"
service { name: "Far"
  method { name: "Look" input_type: ".hello.Ask" output_type: ".hello.Ask" options { idempotency_level: %[2]s } }
}`, pkg, level)
}

func TestProtoRule(t *testing.T) {
	files := new(protoregistry.Files)
	hello := declare(t, files, helloProto)
	ask := dynamicpb.NewMessage(hello.Messages().ByName("Ask"))
	other := dynamicpb.NewMessage(hello.Messages().ByName("Other"))
	tests := []struct {
		endpoint string
		body     any
		want     Safety
	}{
		{"Say.Hello", ask, SafetySafe},
		{"Say.Set", ask, SafetyIdempotent},
		{"Say.Tip", ask, SafetyUnknown},
		{"Say.Nothing", ask, SafetyUnknown},
		{"Shout.Hello", ask, SafetyUnknown},
		{"Hello", ask, SafetyUnknown},
		{"Say.Hello", other, SafetyUnknown}, // not the method's request
		{"Say.Hello", map[string]string{}, SafetyUnknown},
		{"Say.Hello", nil, SafetyUnknown},
		{"Say.Hello", proto.Message(nil), SafetyUnknown},
	}
	rule := newProtoRule(files)
	for range 2 { // the second time from the cache
		for _, tt := range tests {
			if got := rule.safety(context.Background(), request{endpoint: tt.endpoint, body: tt.body}); got != tt.want {
				t.Errorf("%s(%T) is %v, want %v", tt.endpoint, tt.body, got, tt.want)
			}
		}
	}
}

func TestProtoRuleInOtherFiles(t *testing.T) {
	files := new(protoregistry.Files)
	ask := dynamicpb.NewMessage(declare(t, files, helloProto).Messages().ByName("Ask"))
	look := func() Safety {
		return newProtoRule(files).safety(context.Background(), request{endpoint: "Far.Look", body: ask})
	}
	for _, step := range []struct {
		pkg, level string
		want       Safety
	}{
		{"one", "IDEMPOTENT", SafetyIdempotent},
		{"two", "IDEMPOTENT", SafetyIdempotent},     // they agree
		{"three", "NO_SIDE_EFFECTS", SafetyUnknown}, // they do not
		{"four", "IDEMPOTENT", SafetyUnknown},
	} {
		declare(t, files, caller(step.pkg, step.level))
		if got := look(); got != step.want {
			t.Errorf("with %s: %v, want %v", step.pkg, got, step.want)
		}
	}
}

func TestProtoRuleRemembersNoMoreThanItsBound(t *testing.T) {
	files := new(protoregistry.Files)
	ask := dynamicpb.NewMessage(declare(t, files, helloProto).Messages().ByName("Ask"))
	rule := newProtoRule(files)
	for i := range protoCacheSize + 10 {
		rule.safety(context.Background(), request{endpoint: fmt.Sprint("Say.Made", i), body: ask})
	}
	if len(rule.known) != protoCacheSize {
		t.Errorf("%d answers remembered, want %d", len(rule.known), protoCacheSize)
	}
	if got := rule.safety(context.Background(), request{endpoint: "Say.Hello", body: ask}); got != SafetySafe {
		t.Errorf("beyond the bound: %v, want safe", got)
	}
}

func TestProtoRuleConcurrently(t *testing.T) {
	files := new(protoregistry.Files)
	ask := dynamicpb.NewMessage(declare(t, files, helloProto).Messages().ByName("Ask"))
	rule := newProtoRule(files)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if got := rule.safety(context.Background(), request{endpoint: "Say.Set", body: ask}); got != SafetyIdempotent {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	wg.Wait()
}

func TestProtoRuleWithoutTheMethod(t *testing.T) {
	req := request{service: service, endpoint: "Say.Hello", body: new(descriptorpb.FileDescriptorProto)}
	if got := ProtoRule()(context.Background(), req); got != SafetyUnknown {
		t.Errorf("%v, want unknown", got)
	}
}
