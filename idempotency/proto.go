package idempotency

import (
	"reflect"

	"google.golang.org/protobuf/proto"
)

// asProto returns v as a message if it is one itself. A struct that embeds a
// message is none, since protobuf would not see its other fields; nor is a
// nil pointer.
func asProto(v any) (proto.Message, bool) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, false
	}
	if r := reflect.ValueOf(v); r.Kind() != reflect.Pointer || r.IsNil() {
		return nil, false
	}
	return m, reflect.TypeOf(m.ProtoReflect().Interface()) == reflect.TypeOf(v)
}
