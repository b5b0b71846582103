package idempotency

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type jsonReply struct {
	ID     int64             `json:"id"`
	Names  []string          `json:"names"`
	When   time.Time         `json:"when"`
	Extra  map[string]uint64 `json:"extra,omitempty"`
	Raw    json.RawMessage   `json:"raw"`
	Nested *jsonReply        `json:"nested"`
}

func TestReplyComesBackEqual(t *testing.T) {
	whole := &jsonReply{
		ID: math.MaxInt64, Names: []string{}, When: time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC),
		Extra: map[string]uint64{"x": math.MaxUint64}, Raw: json.RawMessage(`{"a":1}`), Nested: &jsonReply{Raw: json.RawMessage("null")},
	}
	for _, test := range []struct {
		name      string
		reply, to any
		content   Content
	}{
		{"protobuf", wrapperspb.String("hi"), wrapperspb.String("stale"), ContentProto},
		{"protobuf of the old API", &oldReply{
			Name: "xuxu", Cents: map[string]int64{"EUR": math.MaxInt64}, XXX_unrecognized: []byte{0x78, 1},
		}, &oldReply{Name: "stale", Cents: map[string]int64{"stale": 1}}, ContentProto},
		{"old API, no field that JSON loses", &plainOldReply{Name: "xuxu"}, &plainOldReply{Name: "stale"}, ContentJSON},
		{"old API, a field that protobuf does not know", &oddOldReply{Name: "xuxu", Bank: "b"}, &oddOldReply{Name: "stale"}, ContentJSON},
		{"old API, a field that protobuf does not take", &nestedOldReply{Nested: oldReply{Name: "xuxu"}},
			&nestedOldReply{Nested: oldReply{Name: "stale"}}, ContentJSON},
		{"map of any", &map[string]any{"a": "b", "n": 1.5, "l": []any{true, nil}}, &map[string]any{"stale": 1}, ContentJSON},
		{"any", new(any("text")), new(any(7)), ContentJSON},
		{"nothing in it", new(any), new(any(7)), ContentJSON},
		{"unexported and empty", &private{Name: "xuxu"}, &private{Name: "stale"}, ContentJSON},
		{"hidden and empty", &hidden{Name: "xuxu"}, &hidden{Name: "stale"}, ContentJSON},
		{"URL", &url.URL{Scheme: "https", Host: "example.org", RawQuery: "a=b"}, &url.URL{Scheme: "stale"}, ContentJSON},
		{"time beside any", &timed{time.Unix(1700000000, 5).UTC(), "x"}, &timed{}, ContentJSON},
		{"empty protobuf", &wrapperspb.Int64Value{}, wrapperspb.Int64(7), ContentProto},
		{"JSON", whole, &jsonReply{Names: []string{"stale"}, Extra: map[string]uint64{"stale": 1}}, ContentJSON},
		{"JSON that quotes an escape", &jsonReply{Names: []string{`\ufffd`}, Raw: json.RawMessage("1")}, &jsonReply{}, ContentJSON},
		{"none", nil, nil, ContentNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := encodeReply(test.reply, 1<<20)
			record, err := DecodeRecord(raw)
			if err != nil || record.Content != test.content {
				t.Fatalf("record %+v, %v", record, err)
			}
			if err := record.replay(test.to); err != nil {
				t.Fatal(err)
			}
			if m, ok := asAnyProto(test.reply); ok {
				if to, ok := asAnyProto(test.to); !ok || !proto.Equal(m, to) {
					t.Errorf("got %v, want %v", test.to, m)
				}
			} else if !reflect.DeepEqual(test.to, test.reply) {
				t.Errorf("got %+v, want %+v", test.to, test.reply)
			}
		})
	}
}

func TestErrorComesBackEqual(t *testing.T) {
	for _, want := range []*RecordedError{
		{},
		{ID: "bank", Code: 402, Detail: "not enough \xff", Status: "Payment Required"},
		{Code: -1, Detail: strings.Repeat("x", 1000)},
		{Code: math.MinInt32},
		{ID: "http", Code: 402, Extra: "{\xff}"},
	} {
		record, err := DecodeRecord(Record{Content: ContentError, Err: want}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var got *RecordedError
		if err := record.replay(nil); !errors.As(err, &got) || *got != *want || got.StatusCode() != int(want.Code) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestReplyIsDropped(t *testing.T) {
	for _, test := range []struct {
		name   string
		reply  any
		limit  int
		reason string
	}{
		{"too large", wrapperspb.String(strings.Repeat("x", 100)), 50, "limit of 50"},
		{"not a number", &struct{ X float64 }{math.NaN()}, 50, "NaN"},
		{"not UTF-8", &struct{ X string }{"\xff"}, 50, "UTF-8"},
		{"encoding panics", &explosive{}, 50, "explosive"},
		{"large, of a type that is tried", new(any(strings.Repeat("x", 100))), 50, "limit of 50"},
		{"not a pointer", jsonReply{}, 500, "must be a pointer"},
		{"nil pointer", (*jsonReply)(nil), 500, "must be a pointer"},
		{"integer in a map of any", &map[string]any{"a": 1}, 500, "interface"},
		{"struct in any", new(any(struct{ Name string }{"xuxu"})), 500, "interface"},
		{"unexported", &private{Name: "xuxu", secret: "s"}, 500, "secret is not exported"},
		{"unexported, with a form of its own", &struct {
			X    any
			when time.Time
		}{when: time.Unix(1, 0)}, 500, "interface"},
		{"hidden", &hidden{Name: "xuxu", Secret: "s"}, 500, "Secret is hidden"},
		{"hidden, deep", &[]map[string]hidden{{"a": {Secret: "s"}}}, 500, "Secret is hidden"},
		{"URL with a password", &url.URL{User: url.UserPassword("a", "b")}, 500, "username is not exported"},
		{"function", &struct{ F func() }{func() {}}, 500, "func()"},
		{"channel", &struct{ C chan int }{make(chan int)}, 500, "chan"},
		{"one way", &oneWay{1}, 500, "one direction"},
		{"decoding panics", &explosiveBack{X: 1}, 500, "explosive"},
		{"struct around a message", &embedsMessage{wrapperspb.String("x")}, 500, "come back equal"},
		{"protobuf not UTF-8", wrapperspb.String("\xff"), 50, "UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record, err := DecodeRecord(encodeReply(test.reply, test.limit))
			if err != nil || record.Content != ContentDropped {
				t.Fatalf("record %+v, %v", record, err)
			}
			err = record.replay(test.reply)
			if !errors.Is(err, ErrNoReply) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("replay: %v", err)
			}
		})
	}
}

// TestTimeOfDayComesBack: it remembers more than its JSON form shows.
func TestTimeOfDayComesBack(t *testing.T) {
	now := time.Now()
	record, err := DecodeRecord(encodeReply(&timed{now, "x"}, 100))
	if err != nil || record.Content != ContentJSON {
		t.Fatalf("record %+v, %v", record, err)
	}
	var back timed
	if err := record.replay(&back); err != nil || !back.At.Equal(now) || back.X != "x" {
		t.Errorf("%v came back as %v, %v", now, back, err)
	}
}

func TestReplayIntoAnotherType(t *testing.T) {
	text := "stale"
	for _, test := range []struct {
		name  string
		reply any
		to    any
	}{
		{"protobuf into JSON", wrapperspb.String("x"), &text},
		{"protobuf into another message", wrapperspb.String("x"), &durationpb.Duration{}},
		{"JSON into protobuf", &text, wrapperspb.String("x")},
		{"JSON into a value", &text, text},
		{"JSON into nothing", &text, nil},
		{"JSON into a nil pointer", &text, (*string)(nil)},
		{"JSON into another type", &text, new(int)},
	} {
		t.Run(test.name, func(t *testing.T) {
			record, err := DecodeRecord(encodeReply(test.reply, 100))
			if err != nil {
				t.Fatal(err)
			}
			err = record.replay(test.to)
			if test.name == "protobuf into another message" {
				// Field 1 has another type there, which protobuf keeps as unknown.
				if m, ok := test.to.(proto.Message); !ok || err != nil || len(m.ProtoReflect().GetUnknown()) == 0 {
					t.Fatalf("%v, %v", m, err)
				}
				return
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v", err)
			}
		})
	}
}

type (
	oneWay   struct{ Number int }
	embedsPB struct {
		*wrapperspb.StringValue
		Extra int
	}
	base   struct{ Name string }
	shadow struct {
		base
		Name string
	}
	flat struct {
		base
		Age int
	}
	list  struct{ Next *list }
	other struct{ Name int }
	twins struct {
		base
		other
	}
	Base          struct{ Name string }
	pointsToBase  struct{ *Base }
	shadowsBehind struct {
		*Base
		Name string
	}
	Knot     struct{ *Knot }
	datedSum struct {
		time.Time
		Amount int
	}
	dated     struct{ time.Time }
	explosive struct{ Name string }

	explosiveBack struct{ X any }
	embedsMessage struct{ proto.Message }
	private       struct{ Name, secret string }
	timed         struct {
		At time.Time
		X  any
	}
	hidden struct {
		Name   string
		Secret string `json:"-"`
	}
)

// The messages of protobuf's old API, as its generators made them.
type (
	oldReply struct {
		Name  string           `json:"name,omitempty"  protobuf:"bytes,1,opt,name=name,proto3"`
		Cents map[string]int64 `json:"cents,omitempty" protobuf:"bytes,2,rep,name=cents,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"varint,2,opt,name=value,proto3"`

		XXX_NoUnkeyedLiteral struct{} `json:"-"` //nolint:revive // as generated
		XXX_unrecognized     []byte   `json:"-"` //nolint:revive // as generated
		XXX_sizecache        int32    `json:"-"` //nolint:revive // as generated
	}
	plainOldReply struct {
		Name string `json:"name,omitempty" protobuf:"bytes,1,opt,name=name,proto3"`
	}
	oddOldReply struct {
		Name string `json:"name,omitempty" protobuf:"bytes,1,opt,name=name,proto3"`
		Bank any
	}
	nestedOldReply struct {
		Nested oldReply `json:"nested" protobuf:"bytes,1,opt,name=nested,proto3"`
	}
)

func (m *oldReply) Reset()               { *m = oldReply{} }
func (m *oldReply) String() string       { return m.Name }
func (*oldReply) ProtoMessage()          {}
func (m *plainOldReply) Reset()          { *m = plainOldReply{} }
func (m *plainOldReply) String() string  { return m.Name }
func (*plainOldReply) ProtoMessage()     {}
func (m *oddOldReply) Reset()            { *m = oddOldReply{} }
func (m *oddOldReply) String() string    { return m.Name }
func (*oddOldReply) ProtoMessage()       {}
func (m *nestedOldReply) Reset()         { *m = nestedOldReply{} }
func (m *nestedOldReply) String() string { return m.Nested.Name }
func (*nestedOldReply) ProtoMessage()    {}

func (*explosiveBack) UnmarshalJSON([]byte) error { panic("explosive") }

func (*explosive) MarshalJSON() ([]byte, error) { panic("explosive") }
func (*explosive) UnmarshalJSON([]byte) error   { return nil }

func (oneWay) MarshalText() ([]byte, error) { return []byte("x"), nil }

// TestFaithfulTypes come back equal from JSON whatever they hold, so that no reply
// of theirs need be decoded to see.
func TestFaithfulTypes(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply any
		lossy string // what is not faithful; empty if all is
	}{
		{"JSON", &jsonReply{}, ""},
		{"embedded struct", &flat{}, ""},
		{"recursive", &list{}, ""},
		{"map", &map[string]int{}, ""},
		{"int keys", &map[int][]string{}, ""},
		{"embedded pointer", &pointsToBase{}, ""},
		{"form of its only field", &dated{}, ""},
		{"any", new(any), "interface"},
		{"struct keys", &map[base]int{}, "has keys of type"},
		{"field of any", &struct{ X any }{}, ".X is a interface"},
		{"deep", &struct{ A [][]struct{ x int } }{}, ".A[][].x"},
		{"struct around protobuf", &embedsPB{StringValue: &wrapperspb.StringValue{}}, "StringValue"},
		{"shadowed name", &shadow{}, "shares its JSON name"},
		{"shadowed name behind a pointer", &shadowsBehind{}, "shares its JSON name"},
		{"embeds itself", &Knot{}, "embeds itself"},
		{"form of an embedded field alone", &datedSum{}, "embeds time.Time"},
		{"two of a name", &twins{}, "shares its JSON name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var types replyTypes
			for range 2 { // the second time from memory
				known, want := types.of(reflect.TypeOf(test.reply)), replyJSON
				if test.lossy != "" {
					want = replyTriedJSON
				}
				if known.form != want {
					t.Errorf("form %d, want %d", known.form, want)
				}
				if test.lossy != "" && (known.lossy == nil || !strings.Contains(known.lossy.Error(), test.lossy)) {
					t.Errorf("lossy: %v, want one that names %q", known.lossy, test.lossy)
				}
			}
		})
	}
}

// TestNilReplySpoilsNoType: what is wrong with one reply is not what is wrong with
// its type.
func TestNilReplySpoilsNoType(t *testing.T) {
	var types replyTypes
	for i, reply := range []*flat{nil, {}, nil} {
		if _, err := types.encode(reply, 100); (err != nil) != (reply == nil) {
			t.Errorf("reply %d: %v", i, err)
		}
	}
}

// encodeReply returns the record of a reply, kept or not.
func encodeReply(reply any, limit int) []byte {
	raw, err := new(replyTypes).encode(reply, limit)
	if err != nil {
		return Record{Content: ContentDropped, Body: []byte(err.Error())}.Encode()
	}
	return raw
}

// asAnyProto returns a message of either API.
func asAnyProto(v any) (proto.Message, bool) {
	if m, ok := asProto(v); ok {
		return m, true
	}
	return asOldProto(v)
}

func TestDecodeRecordRefusesEveryFlippedBit(t *testing.T) {
	for _, raw := range [][]byte{
		encodeReply(wrapperspb.String("hello"), 100),
		Record{Content: ContentError, Err: &RecordedError{ID: "a", Code: 500, Detail: "b"}}.Encode(),
		encodeReply(nil, 100),
	} {
		for bit := range len(raw) * 8 {
			bad := bytes.Clone(raw)
			bad[bit/8] ^= 1 << (bit % 8)
			if got, err := DecodeRecord(bad); err == nil {
				t.Fatalf("bit %d flipped: %+v", bit, got)
			}
		}
		for n := range raw {
			if got, err := DecodeRecord(raw[:n]); err == nil {
				t.Fatalf("cut to %d bytes: %+v", n, got)
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(Record{Content: ContentNone}.Encode())
	f.Add(encodeReply(wrapperspb.String("hello"), 100))
	f.Add(encodeReply(&jsonReply{ID: 1}, 1000))
	f.Add(Record{Content: ContentError, Err: &RecordedError{ID: "a", Code: 500, Detail: "b", Status: "c"}}.Encode())
	f.Add(Record{Content: ContentJSON, Body: []byte("{}"), Origin: "00-abc-def-01"}.Encode())
	f.Add([]byte{1, 4, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if record, err := DecodeRecord(raw); err == nil {
			checkReencodes(t, record)
		}
		// Mend the checksum, so that the fuzzer gets past it.
		if len(raw) >= recordHeader {
			for _, format := range []byte{recordFormat, recordFormatOrigin} {
				if record, err := DecodeRecord(sealAs(format, bytes.Clone(raw), Content(raw[1]))); err == nil {
					checkReencodes(t, record)
				}
			}
		}
		if recorded, err := decodeRecordedError(raw); err == nil {
			checkReencodes(t, Record{Content: ContentError, Err: recorded})
		}
	})
}

func checkReencodes(t *testing.T, record Record) {
	t.Helper()
	again, err := DecodeRecord(record.Encode())
	if err != nil {
		t.Fatalf("%+v does not decode again: %v", record, err)
	}
	if again.Origin != record.Origin || again.Content != record.Content || !bytes.Equal(again.Body, record.Body) || !reflect.DeepEqual(again.Err, record.Err) {
		t.Fatalf("%+v comes back as %+v", record, again)
	}
}
