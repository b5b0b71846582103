package idempotency

import (
	"reflect"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// asProto returns v as a message if it is one itself. A struct that embeds a
// message is none, since protobuf would not see its other fields; nor is a
// nil pointer.
func asProto(v any) (m proto.Message, ok bool) {
	defer func() {
		if recover() != nil { // it embeds a message that is nil
			m, ok = nil, false
		}
	}()
	m, ok = v.(proto.Message)
	if !ok {
		return nil, false
	}
	if r := reflect.ValueOf(v); r.Kind() != reflect.Pointer || r.IsNil() {
		return nil, false
	}
	return m, reflect.TypeOf(m.ProtoReflect().Interface()) == reflect.TypeOf(v)
}

// asOldProto returns v as a message if it was generated for protobuf's old API.
func asOldProto(v any) (m proto.Message, ok bool) {
	defer func() {
		if recover() != nil { // its fields are none that protobuf takes
			m, ok = nil, false
		}
	}()
	old, ok := v.(protoadapt.MessageV1)
	if r := reflect.ValueOf(v); !ok || r.Kind() != reflect.Pointer || r.IsNil() {
		return nil, false
	}
	return protoadapt.MessageV2Of(old), true
}
