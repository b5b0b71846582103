package idempotency

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
)

// replyForm is the form in which replies of a type are recorded.
type replyForm uint8

const (
	// replyProto is protobuf.
	replyProto replyForm = iota
	// replyOldProto is protobuf, of a message that was generated for its old API.
	replyOldProto
	// replyJSON is JSON, from which every reply of the type comes back equal.
	replyJSON
	// replyTriedJSON is JSON, from which some replies of the type come back equal.
	replyTriedJSON
)

// replyType is what is known of a type of reply.
type replyType struct {
	form   replyForm
	lossy  error // why a reply may not come back equal from JSON
	warned atomic.Bool
}

// replyTypes remembers what was learnt of each type. The zero value knows none.
type replyTypes struct{ known sync.Map } // reflect.Type → *replyType

// of returns what is known of a type.
func (c *replyTypes) of(t reflect.Type) *replyType {
	known, ok := c.known.Load(t)
	if !ok {
		known, _ = c.known.LoadOrStore(t, learnReplyType(t))
	}
	learnt, _ := known.(*replyType) // nothing else is stored
	return learnt
}

func learnReplyType(t reflect.Type) *replyType {
	if t.Kind() != reflect.Pointer {
		return &replyType{form: replyTriedJSON, lossy: fmt.Errorf("a %v must be a pointer to a reply", t)}
	}
	if _, ok := asProto(reflect.New(t.Elem()).Interface()); ok {
		return &replyType{form: replyProto}
	}
	lossy := checkJSON(t.Elem(), t.Elem().String(), map[reflect.Type]bool{})
	switch {
	case lossy == nil:
		return &replyType{form: replyJSON}
	case isOldProto(t.Elem()):
		return &replyType{form: replyOldProto, lossy: lossy}
	default:
		return &replyType{form: replyTriedJSON, lossy: lossy}
	}
}

// isOldProto tells whether protobuf knows every field of a struct that was
// generated for its old API. Some generators make fields that it does not take.
func isOldProto(t reflect.Type) bool {
	message, ok := asOldProto(reflect.New(t).Interface())
	if !ok || t.Kind() != reflect.Struct {
		return false
	}
	for field := range t.Fields() {
		_, plain := field.Tag.Lookup("protobuf")
		_, oneof := field.Tag.Lookup("protobuf_oneof")
		if !plain && !oneof && !strings.HasPrefix(field.Name, "XXX_") {
			return false
		}
	}
	return canEncode(message)
}

func canEncode(m proto.Message) bool {
	_, err := encodeProto(m)
	return err == nil
}

// checkJSON walks a type and returns what JSON would lose of it: fields that
// it does not show, and dynamic types (an int64 in an interface comes back as
// a float64).
func checkJSON(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if encodes, decodes := marshals(t); encodes || decodes {
		if encodes && decodes {
			return checkPromoted(t, path)
		}
		return fmt.Errorf("%s has a JSON form of its own in one direction only", path)
	}
	switch t.Kind() { //nolint:exhaustive // the others come back as they are
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return checkJSON(t.Elem(), path+"[]", seen)
	case reflect.Map:
		if !isJSONName(t.Key()) {
			return fmt.Errorf("%s has keys of type %v, which JSON does not have", path, t.Key())
		}
		return checkJSON(t.Elem(), path+"[]", seen)
	case reflect.Struct:
		return checkFields(t, path, nil, map[string]bool{}, seen)
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer,
		reflect.Complex64, reflect.Complex128, reflect.Uintptr:
		return fmt.Errorf("%s is a %v, which does not come back equal from JSON; use a concrete type or protobuf", path, t)
	}
	return nil
}

// checkPromoted refuses a struct whose JSON form may be no more than that of a
// field that it embeds, as with a time.Time beside other fields. Whether the
// struct has methods of its own in their place cannot be seen.
func checkPromoted(t reflect.Type, path string) error {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return nil
	}
	for field := range t.Fields() {
		if encodes, decodes := marshals(indirect(field.Type)); field.Anonymous && (encodes || decodes) {
			return fmt.Errorf("%s embeds %v, whose JSON form may hide the other fields; give that field a name", path, field.Type)
		}
	}
	return nil
}

// indirect returns what a pointer points to.
func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// checkFields checks the fields of a struct and of those that it embeds, which
// share its names. within are the structs that embed this one.
func checkFields(t reflect.Type, path string, within []reflect.Type, names map[string]bool, seen map[reflect.Type]bool) error {
	if slices.Contains(within, t) {
		return fmt.Errorf("%s embeds itself", path)
	}
	for field := range t.Fields() {
		at := path + "." + field.Name
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		embedded := field.Anonymous && name == "" && indirect(field.Type).Kind() == reflect.Struct
		switch {
		case field.Tag.Get("json") == "-":
			return fmt.Errorf(`%s is hidden by its tag json:"-"; use protobuf or show it`, at)
		case !field.IsExported() && (!embedded || field.Type.Kind() == reflect.Pointer):
			return fmt.Errorf("%s is not exported; use protobuf or export it", at)
		}
		inner := indirect(field.Type)
		if _, decodes := marshals(inner); embedded && !decodes {
			if err := checkFields(inner, at, append(within, t), names, seen); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = field.Name
		}
		if names[name] {
			return fmt.Errorf("%s shares its JSON name %q with another field", at, name)
		}
		names[name] = true
		if err := checkJSON(field.Type, at, seen); err != nil {
			return err
		}
	}
	return nil
}

// isJSONName reports whether a type of map key can be a member's name.
func isJSONName(t reflect.Type) bool {
	encodes, decodes := marshals(t)
	if encodes || decodes {
		return encodes && decodes
	}
	return t.Kind() == reflect.String || (t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64)
}

// marshals reports whether a type has a JSON form of its own, in each
// direction.
func marshals(t reflect.Type) (encodes, decodes bool) {
	p := reflect.PointerTo(t)
	encodes = p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	decodes = p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	return encodes, decodes
}
