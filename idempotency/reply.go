package idempotency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"google.golang.org/protobuf/proto"
)

// recordReply puts the handler's reply into an encoded record. A reply that could
// not be given to a duplicate as it was is dropped: the record then says so. One
// warning for each type of reply tells what to change.
func (g *Guard) recordReply(ctx context.Context, r *request) []byte {
	raw, err := g.replies.encode(r.call.Reply, g.maxReply)
	if err == nil {
		return raw
	}
	if g.replies.of(reflect.TypeOf(r.call.Reply)).warned.CompareAndSwap(false, true) {
		g.Logger().LogAttrs(ctx, slog.LevelWarn, "idempotency: executed, but the reply is not kept; its duplicates are answered 410",
			slog.String("service", r.claim.Scope.Service), slog.String("endpoint", r.claim.Scope.Endpoint),
			slog.String("type", fmt.Sprintf("%T", r.call.Reply)), slog.Any("reason", err))
	}
	return Record{Content: ContentDropped, Body: []byte(err.Error())}.Encode()
}

// encode returns the record of a reply. The error says why the reply would not
// come back as it is, from a record of at most limit bytes.
func (c *replyTypes) encode(reply any, limit int) ([]byte, error) {
	raw, content, err := c.appendReply(reply, limit)
	if err != nil {
		return nil, err
	}
	if size := len(raw) - recordHeader; size > limit {
		return nil, tooLarge(size, limit)
	}
	return seal(raw, content), nil
}

func tooLarge(size, limit int) error {
	return fmt.Errorf("%d bytes, more than the limit of %d", size, limit)
}

// appendReply returns the reply behind the room for a record's header.
func (c *replyTypes) appendReply(reply any, limit int) (raw []byte, content Content, err error) {
	defer notEncoded(&err)
	if reply == nil {
		return make([]byte, recordHeader), ContentNone, nil
	}
	if v := reflect.ValueOf(reply); v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, 0, fmt.Errorf("a %T must be a pointer to a reply, and not nil", reply)
	}
	switch known := c.of(reflect.TypeOf(reply)); known.form {
	case replyProto:
		m, _ := asProto(reply)
		raw, err = encodeProto(m)
		return raw, ContentProto, err
	case replyOldProto:
		m, _ := asOldProto(reply)
		if raw, err = encodeProto(m); err == nil {
			return raw, ContentProto, nil
		}
		fallthrough
	case replyTriedJSON:
		raw, err = tryJSON(reply, limit, known.lossy)
	case replyJSON:
		raw, err = encodeJSON(reply)
	}
	return raw, ContentJSON, err
}

// encodeProto returns a message behind the room for a record's header.
func encodeProto(m proto.Message) (raw []byte, err error) {
	defer notEncoded(&err)
	options := proto.MarshalOptions{AllowPartial: true}
	raw = make([]byte, recordHeader, recordHeader+options.Size(m))
	return options.MarshalAppend(raw, m)
}

// encodeJSON returns a reply behind the room for a record's header, whose type
// comes back equal from JSON, unless a string in it is not UTF-8: that is replaced
// by what JSON can show.
func encodeJSON(reply any) ([]byte, error) {
	text, err := json.Marshal(reply)
	if err == nil && bytes.Contains(text, []byte(`\ufffd`)) {
		err = decodesTo(text, reply, errors.New("a string that is not UTF-8 does not come back equal from JSON"))
	}
	return append(make([]byte, recordHeader, recordHeader+len(text)), text...), err
}

// tryJSON is encodeJSON for a reply whose type does not tell whether it comes back
// equal.
func tryJSON(reply any, limit int, lossy error) ([]byte, error) {
	text, err := json.Marshal(reply)
	switch {
	case err != nil:
		return nil, err
	case len(text) > limit:
		return nil, tooLarge(len(text), limit)
	}
	return append(make([]byte, recordHeader, recordHeader+len(text)), text...), decodesTo(text, reply, lossy)
}

// decodesTo returns unequal if text does not decode to what reply points to.
func decodesTo(text []byte, reply any, unequal error) error {
	back := reflect.New(reflect.TypeOf(reply).Elem())
	if err := json.Unmarshal(text, back.Interface()); err != nil {
		return errors.Join(unequal, err)
	}
	if !sameReply(reflect.ValueOf(reply), back) {
		return unequal
	}
	return nil
}

// notEncoded turns the panic of a type's own encoding into an error. It would end
// the process otherwise, or an execution whose work is done.
func notEncoded(err *error) {
	if value := recover(); value != nil {
		*err = fmt.Errorf("its encoding panicked: %v", value)
	}
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
		m, ok = asOldProto(reply)
	}
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
