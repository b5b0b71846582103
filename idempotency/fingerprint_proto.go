package idempotency

import (
	"bytes"
	"cmp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// hashMessage hashes a message in its deterministic encoding. Where that holds
// what only the sender could encode, whose order the sender chose, it is hashed
// in an order that needs no description of it.
func hashMessage(m proto.Message) (Fingerprint, error) {
	raw, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		return Fingerprint{}, err
	}
	if hasSendersOrder(m.ProtoReflect(), true) {
		return hashBody(algorithmWire, sortWire(raw, deepestSort)), nil
	}
	return hashBody(algorithmProto, sortFields(raw)), nil
}

// sortFields brings the top-level fields into the order of their numbers,
// because a field that this binary does not know yet comes last, and in a
// newer binary at its place.
func sortFields(raw []byte) []byte {
	if fieldsSorted(raw) {
		return raw
	}
	fields, ok := fieldsOf(raw)
	if !ok {
		return raw
	}
	slices.SortStableFunc(fields, func(a, b wireField) int { return cmp.Compare(a.number, b.number) })
	out := make([]byte, 0, len(raw))
	for _, f := range fields {
		out = append(out, f.record...)
	}
	return out
}

func fieldsSorted(raw []byte) bool {
	for last := protowire.Number(0); len(raw) > 0; {
		number, _, n := protowire.ConsumeField(raw)
		if n < 0 || number < last {
			return false
		}
		raw, last = raw[n:], number
	}
	return true
}

// hasSendersOrder reports whether the message carries, at any depth, encoded
// content that another encoding of the same message may have in another order:
// fields that this binary does not know, which may be maps or hold some, and
// messages packed into an Any.
//
// At the top of a message unknown fields are put at their place ([sortFields]),
// so that one which occurs once does no harm there.
func hasSendersOrder(m protoreflect.Message, top bool) bool {
	if unknown := m.GetUnknown(); len(unknown) > 0 && (!top || !hasOneOrder(unknown, deepestSort)) {
		return true
	}
	description := m.Descriptor()
	if description.FullName() == "google.protobuf.Any" {
		value := description.Fields().ByNumber(2)
		return value != nil && value.Kind() == protoreflect.BytesKind && !hasOneOrder(m.Get(value).Bytes(), deepestSort)
	}
	fields := description.Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); fieldHasSendersOrder(m, field) {
			return true
		}
	}
	return description.ExtensionRanges().Len() > 0 && extensionHasSendersOrder(m)
}

func extensionHasSendersOrder(m protoreflect.Message) (found bool) {
	m.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		found = field.IsExtension() && fieldHasSendersOrder(m, field)
		return !found
	})
	return found
}

// fieldHasSendersOrder looks into a field that holds messages.
func fieldHasSendersOrder(m protoreflect.Message, field protoreflect.FieldDescriptor) bool {
	if field.Message() == nil || !m.Has(field) {
		return false
	}
	value := m.Get(field)
	switch {
	case field.IsMap():
		return field.MapValue().Message() != nil && elementHasSendersOrder(value.Map())
	case field.IsList():
		list := value.List()
		for i := range list.Len() {
			if hasSendersOrder(list.Get(i).Message(), false) {
				return true
			}
		}
		return false
	}
	return hasSendersOrder(value.Message(), false)
}

func elementHasSendersOrder(m protoreflect.Map) (found bool) {
	m.Range(func(_ protoreflect.MapKey, element protoreflect.Value) bool {
		found = hasSendersOrder(element.Message(), false)
		return !found
	})
	return found
}

// deepestSort bounds how deep encoded content is looked into. What lies deeper
// counts as it is: protobuf in other languages stops at 100, too.
const deepestSort = 100

// wireField is a field in encoded form.
type wireField struct {
	number protowire.Number
	kind   protowire.Type
	record []byte // tag and value
}

// fieldsOf takes raw for an encoded message. It reports false where it is none.
func fieldsOf(raw []byte) (fields []wireField, ok bool) {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeField(raw)
		if n < 0 {
			return nil, false
		}
		fields = append(fields, wireField{number, kind, raw[:n]})
		raw = raw[n:]
	}
	return fields, true
}

// content returns what is in a field that may be a message.
func (f wireField) content() (content []byte, ok bool) {
	_, _, tag := protowire.ConsumeTag(f.record)
	switch f.kind {
	case protowire.BytesType:
		content, tag = protowire.ConsumeBytes(f.record[tag:])
	case protowire.StartGroupType:
		content, tag = protowire.ConsumeGroup(f.number, f.record[tag:])
	default:
		return nil, false
	}
	return content, tag >= 0
}

// with returns the field with other content.
func (f wireField) with(content []byte) wireField {
	record := protowire.AppendTag(make([]byte, 0, len(f.record)), f.number, f.kind)
	if f.kind == protowire.StartGroupType {
		f.record = protowire.AppendGroup(record, f.number, content)
	} else {
		f.record = protowire.AppendBytes(record, content)
	}
	return f
}

// hasOneOrder reports whether raw, if it is a message, has but one encoding: its
// fields, at any depth, occur once each and in the order of their numbers.
func hasOneOrder(raw []byte, depth int) bool {
	fields, ok := fieldsOf(raw)
	if !ok || depth == 0 {
		return true
	}
	for i, field := range fields {
		if i > 0 && field.number <= fields[i-1].number {
			return false
		}
		if content, ok := field.content(); ok && !hasOneOrder(content, depth-1) {
			return false
		}
	}
	return true
}

// sortWire brings the fields of an encoded message, at any depth, into the order
// of their numbers, and those of one number into that of their bytes, as the
// entries of a map have none of their own. Two lists with the same elements are
// then the same: better than to refuse the repetition of a request.
func sortWire(raw []byte, depth int) []byte {
	fields, ok := fieldsOf(raw)
	if !ok || depth == 0 {
		return raw
	}
	for i, field := range fields {
		if content, ok := field.content(); ok {
			fields[i] = field.with(sortWire(content, depth-1))
		}
	}
	slices.SortFunc(fields, func(a, b wireField) int {
		return cmp.Or(cmp.Compare(a.number, b.number), bytes.Compare(a.record, b.record))
	})
	out := make([]byte, 0, len(raw))
	for _, field := range fields {
		out = append(out, field.record...)
	}
	return out
}
