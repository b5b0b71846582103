package grpcguard

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// describe returns what protobuf knows of a method; nil if it knows nothing, as of
// one that has go-micro's name.
func describe(fullMethod string) protoreflect.MethodDescriptor {
	service, method, _ := splitMethod(fullMethod)
	name := protoreflect.FullName(service + "." + method)
	if !name.IsValid() {
		return nil
	}
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	described, _ := found.(protoreflect.MethodDescriptor)
	return described
}

// hasNoSideEffects tells whether protobuf declares so.
func hasNoSideEffects(method protoreflect.MethodDescriptor) bool {
	if method == nil {
		return false
	}
	options, ok := method.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// replyType returns the type of a method's reply; nil if it is not known.
func replyType(method protoreflect.MethodDescriptor) protoreflect.MessageType {
	if method == nil {
		return nil
	}
	found, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil
	}
	return found
}
