package idempotency

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
)

// recordReply puts a handler's reply into an encoded record. A reply that is
// larger than limit bytes, or cannot be encoded, is dropped: the record then
// says so.
func recordReply(reply any, limit int) []byte {
	raw, content, err := appendReply(reply)
	if size := len(raw) - recordHeader; err == nil && size > limit {
		err = fmt.Errorf("%d bytes, more than the limit of %d", size, limit)
	}
	if err != nil {
		return Record{Content: ContentDropped, Body: []byte(err.Error())}.Encode()
	}
	return seal(raw, content)
}

// appendReply returns the reply behind the room for a record's header.
func appendReply(reply any) (raw []byte, content Content, err error) {
	defer notEncoded(&err)
	if reply == nil {
		return make([]byte, recordHeader), ContentNone, nil
	}
	if m, ok := asProto(reply); ok {
		options := proto.MarshalOptions{AllowPartial: true}
		raw = make([]byte, recordHeader, recordHeader+options.Size(m))
		raw, err = options.MarshalAppend(raw, m)
		return raw, ContentProto, err
	}
	text, err := json.Marshal(reply)
	if err == nil && bytes.Contains(text, []byte(`\ufffd`)) {
		err = checkText(text, reply)
	}
	return append(make([]byte, recordHeader, recordHeader+len(text)), text...), ContentJSON, err
}

// notEncoded turns the panic of a type's own encoding into an error. It would end
// the process otherwise, or an execution whose work is done.
func notEncoded(err *error) {
	if value := recover(); value != nil {
		*err = fmt.Errorf("its encoding panicked: %v", value)
	}
}

// checkText refuses a reply that holds a string which is not UTF-8: JSON
// replaces what it cannot show.
func checkText(raw []byte, reply any) error {
	back := reflect.New(reflect.TypeOf(reply).Elem())
	if err := json.Unmarshal(raw, back.Interface()); err != nil {
		return err
	}
	if !reflect.DeepEqual(back.Interface(), reply) {
		return errors.New("a string that is not UTF-8 does not come back equal from JSON")
	}
	return nil
}

// replay gives the recorded answer: it fills reply, a pointer, or returns the
// recorded error.
func (r Record) replay(reply any) error {
	switch r.Content {
	case ContentNone:
		return nil
	case ContentError:
		return r.Err
	case ContentDropped:
		return unsettled(ErrNoReply, errors.New(string(r.Body)))
	case ContentProto:
		return r.replayProto(reply)
	case ContentJSON:
		return r.replayJSON(reply)
	}
	return unsettled(ErrCorrupt, fmt.Errorf("content %d is unknown", r.Content))
}

func (r Record) replayProto(reply any) error {
	m, ok := asProto(reply)
	if !ok {
		return unsettled(ErrCorrupt, fmt.Errorf("a protobuf reply was recorded, and a %T is asked for", reply))
	}
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(r.Body, m); err != nil {
		return unsettled(ErrCorrupt, err)
	}
	return nil
}

func (r Record) replayJSON(reply any) error {
	target := reflect.ValueOf(reply)
	if _, isProto := asProto(reply); isProto || target.Kind() != reflect.Pointer || target.IsNil() {
		return unsettled(ErrCorrupt, fmt.Errorf("a JSON reply was recorded, and a %T is asked for", reply))
	}
	target.Elem().SetZero() // JSON would merge into what is there
	if err := json.Unmarshal(r.Body, reply); err != nil {
		return unsettled(ErrCorrupt, err)
	}
	return nil
}

// replyTypes remembers which types of reply can be recorded.
type replyTypes struct{ verdicts sync.Map } // reflect.Type → error or nil, as a replyVerdict

type replyVerdict struct{ err error }

// check returns an error if a reply of this type would not come back equal
// from a record.
func (c *replyTypes) check(reply any) error {
	if reply == nil {
		return nil
	}
	t := reflect.TypeOf(reply)
	if v := reflect.ValueOf(reply); v.Kind() != reflect.Pointer || v.IsNil() {
		return refusal(ErrReplyType, fmt.Errorf("a %v must be a pointer to a reply, and not nil", t))
	}
	if v, ok := c.verdicts.Load(t); ok {
		verdict, _ := v.(replyVerdict) // nothing else is stored
		return verdict.err
	}
	err := checkReply(reply)
	c.verdicts.Store(t, replyVerdict{err})
	return err
}

func checkReply(reply any) error {
	t := reflect.TypeOf(reply)
	if _, ok := asProto(reply); ok {
		return nil
	}
	if err := checkJSON(t.Elem(), t.Elem().String(), map[reflect.Type]bool{}); err != nil {
		return refusal(ErrReplyType, err)
	}
	return nil
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
