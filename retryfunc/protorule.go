package retryfunc

import (
	"context"
	"strings"
	"sync"

	"go-micro.dev/v4/client"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// protoCacheSize bounds what a ProtoRule remembers, should endpoint names be
// made up at run time.
const protoCacheSize = 4096

// ProtoRule reads the protobuf method option idempotency_level of the called
// method: NO_SIDE_EFFECTS is safe, IDEMPOTENT is idempotent. go-micro's
// endpoint "Say.Hello" names neither package nor file, so the method is looked
// for in the file that declares the request's message, and then among all
// registered files, where methods of that name and request must agree. Answers
// are cached. It has no opinion of bodies that are not protobuf messages.
func ProtoRule() Rule {
	return newProtoRule(protoregistry.GlobalFiles).safety
}

type protoRule struct {
	files *protoregistry.Files
	mu    sync.RWMutex
	known map[protoMethod]Safety
}

type protoMethod struct {
	input    protoreflect.FullName
	endpoint string
}

func newProtoRule(files *protoregistry.Files) *protoRule {
	return &protoRule{files: files, known: make(map[protoMethod]Safety)}
}

func (r *protoRule) safety(_ context.Context, req client.Request) Safety {
	body, ok := req.Body().(proto.Message)
	if !ok || body == nil {
		return SafetyUnknown
	}
	input := body.ProtoReflect().Descriptor()
	key := protoMethod{input.FullName(), req.Endpoint()}
	r.mu.RLock()
	safety, ok := r.known[key]
	r.mu.RUnlock()
	if ok {
		return safety
	}
	safety = r.find(input, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) < protoCacheSize {
		r.known[key] = safety
	}
	return safety
}

func (r *protoRule) find(input protoreflect.MessageDescriptor, m protoMethod) Safety {
	service, method, ok := strings.Cut(m.endpoint, ".")
	if !ok {
		return SafetyUnknown
	}
	match := protoMatch{input: m.input, service: protoreflect.Name(service), method: protoreflect.Name(method)}
	if match.file(input.ParentFile()); !match.found {
		r.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			match.file(file)
			return true
		})
	}
	return match.safety
}

// protoMatch collects what the methods of one name and request say. Those that
// contradict each other say nothing.
type protoMatch struct {
	input           protoreflect.FullName
	service, method protoreflect.Name
	found           bool
	safety          Safety
}

func (m *protoMatch) file(file protoreflect.FileDescriptor) {
	if file == nil {
		return
	}
	service := file.Services().ByName(m.service)
	if service == nil {
		return
	}
	method := service.Methods().ByName(m.method)
	if method == nil || method.Input().FullName() != m.input {
		return
	}
	safety := idempotencyLevel(method)
	if m.found && m.safety != safety {
		safety = SafetyUnknown
	}
	m.found, m.safety = true, safety
}

func idempotencyLevel(method protoreflect.MethodDescriptor) Safety {
	options, ok := method.Options().(*descriptorpb.MethodOptions)
	if !ok {
		return SafetyUnknown
	}
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return SafetySafe
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return SafetyIdempotent
	default:
		return SafetyUnknown
	}
}
