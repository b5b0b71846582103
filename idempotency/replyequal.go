package idempotency

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// sameReply tells whether back, which was decoded from a reply's JSON, is as good
// as the reply itself: equal as by reflect.DeepEqual, except that an empty slice or
// map is as good as none, and that what has a JSON form of its own is compared by
// it, as a time.Time must be, which remembers more than it shows.
func sameReply(reply, back reflect.Value) bool {
	if reply.Type() != back.Type() {
		return false
	}
	if encodes, decodes := marshals(reply.Type()); encodes && decodes {
		return sameForm(reply, back)
	}
	switch reply.Kind() { //nolint:exhaustive // the others are compared as they are
	case reflect.Pointer, reflect.Interface:
		return sameTargets(reply, back)
	case reflect.Slice, reflect.Array:
		return sameElements(reply, back)
	case reflect.Map:
		return sameMembers(reply, back)
	case reflect.Struct:
		return sameFields(reply, back)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return reply.IsZero() && back.IsZero()
	}
	return reply.Equal(back)
}

// sameForm compares what has a JSON form of its own. A field that is not exported
// cannot be asked for it, and has not been decoded.
func sameForm(reply, back reflect.Value) bool {
	if !reply.CanInterface() {
		return reply.IsZero() && back.IsZero()
	}
	form, err := json.Marshal(reply.Interface())
	if err != nil {
		return false
	}
	again, err := json.Marshal(back.Interface())
	return err == nil && bytes.Equal(form, again)
}

func sameTargets(reply, back reflect.Value) bool {
	if reply.IsNil() || back.IsNil() {
		return reply.IsNil() && back.IsNil()
	}
	return sameReply(reply.Elem(), back.Elem())
}

func sameFields(reply, back reflect.Value) bool {
	for i := range reply.NumField() {
		if !sameReply(reply.Field(i), back.Field(i)) {
			return false
		}
	}
	return true
}

func sameElements(reply, back reflect.Value) bool {
	if reply.Len() != back.Len() {
		return false
	}
	for i := range reply.Len() {
		if !sameReply(reply.Index(i), back.Index(i)) {
			return false
		}
	}
	return true
}

func sameMembers(reply, back reflect.Value) bool {
	if reply.Len() != back.Len() {
		return false
	}
	for member := reply.MapRange(); member.Next(); {
		other := back.MapIndex(member.Key())
		if !other.IsValid() || !sameReply(member.Value(), other) {
			return false
		}
	}
	return true
}
