package idempotency

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
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
		{"empty protobuf", &wrapperspb.Int64Value{}, wrapperspb.Int64(7), ContentProto},
		{"JSON", whole, &jsonReply{Names: []string{"stale"}, Extra: map[string]uint64{"stale": 1}}, ContentJSON},
		{"JSON that quotes an escape", &jsonReply{Names: []string{`\ufffd`}, Raw: json.RawMessage("1")}, &jsonReply{}, ContentJSON},
		{"none", nil, nil, ContentNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := recordReply(test.reply, 1<<20)
			record, err := DecodeRecord(raw)
			if err != nil || record.Content != test.content {
				t.Fatalf("record %+v, %v", record, err)
			}
			if err := record.replay(test.to); err != nil {
				t.Fatal(err)
			}
			if m, ok := test.reply.(proto.Message); ok {
				if to, ok := test.to.(proto.Message); !ok || !proto.Equal(m, to) {
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
		{"protobuf not UTF-8", wrapperspb.String("\xff"), 50, "UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record, err := DecodeRecord(recordReply(test.reply, test.limit))
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
			record, err := DecodeRecord(recordReply(test.reply, 100))
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
)

func (*explosive) MarshalJSON() ([]byte, error) { panic("explosive") }
func (*explosive) UnmarshalJSON([]byte) error   { return nil }

func (oneWay) MarshalText() ([]byte, error) { return []byte("x"), nil }

func TestReplyType(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		reply        any
	}{
		{"nothing", "", nil},
		{"protobuf", "", &wrapperspb.StringValue{}},
		{"JSON", "", &jsonReply{}},
		{"embedded struct", "", &flat{}},
		{"recursive", "", &list{}},
		{"map", "", &map[string]int{}},
		{"int keys", "", &map[int][]string{}},
		{"not a pointer", "must be a pointer", jsonReply{}},
		{"nil pointer", "must be a pointer", (*jsonReply)(nil)},
		{"any", "interface", new(any)},
		{"map of any", "interface", &map[string]any{}},
		{"struct keys", "has keys of type", &map[base]int{}},
		{"field of any", ".X is a interface", &struct{ X any }{}},
		{"unexported", ".x is not exported", &struct{ x int }{}},
		{"hidden", ".X is hidden", &struct {
			X int `json:"-"`
		}{}},
		{"deep", ".A[][].x", &struct{ A [][]struct{ x int } }{}},
		{"function", "func()", &struct{ F func() }{}},
		{"channel", "chan", &struct{ C chan int }{}},
		{"one way", "one direction", &oneWay{}},
		{"struct around protobuf", "one direction|not exported", &embedsPB{StringValue: &wrapperspb.StringValue{}}},
		{"shadowed name", "shares its JSON name", &shadow{}},
		{"shadowed name behind a pointer", "shares its JSON name", &shadowsBehind{}},
		{"embedded pointer", "", &pointsToBase{}},
		{"embeds itself", "embeds itself", &Knot{}},
		{"form of an embedded field alone", "embeds time.Time", &datedSum{}},
		{"form of its only field", "", &dated{}},
		{"two of a name", "shares its JSON name", &twins{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var types replyTypes
			for range 2 { // the second time from memory
				err := types.check(test.reply)
				if test.reason == "" {
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				if !errors.Is(err, ErrReplyType) || !containsAny(err.Error(), test.reason) {
					t.Errorf("error %v, want %q", err, test.reason)
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
		if err := types.check(reply); errors.Is(err, ErrReplyType) != (reply == nil) {
			t.Errorf("check %d: %v", i, err)
		}
	}
}

func containsAny(s, alternatives string) bool {
	for a := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(s, a) {
			return true
		}
	}
	return false
}

func TestDecodeRecordRefusesEveryFlippedBit(t *testing.T) {
	for _, raw := range [][]byte{
		recordReply(wrapperspb.String("hello"), 100),
		Record{Content: ContentError, Err: &RecordedError{ID: "a", Code: 500, Detail: "b"}}.Encode(),
		recordReply(nil, 100),
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
	f.Add(recordReply(wrapperspb.String("hello"), 100))
	f.Add(recordReply(&jsonReply{ID: 1}, 1000))
	f.Add(Record{Content: ContentError, Err: &RecordedError{ID: "a", Code: 500, Detail: "b", Status: "c"}}.Encode())
	f.Add([]byte{1, 4, 0, 0, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if record, err := DecodeRecord(raw); err == nil {
			checkReencodes(t, record)
		}
		// Mend the checksum, so that the fuzzer gets past it.
		if len(raw) >= recordHeader {
			if record, err := DecodeRecord(Record{Content: Content(raw[1]), Body: raw[recordHeader:]}.Encode()); err == nil {
				checkReencodes(t, record)
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
	if again.Content != record.Content || !bytes.Equal(again.Body, record.Body) || !reflect.DeepEqual(again.Err, record.Err) {
		t.Fatalf("%+v comes back as %+v", record, again)
	}
}
