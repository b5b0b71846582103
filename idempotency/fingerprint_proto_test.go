package idempotency

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// members is a map as protobuf keeps it in a Struct: field 1, one entry each.
func members(t *testing.T) *structpb.Struct {
	t.Helper()
	inner := map[string]any{"x": 1, "y": []any{2, "z"}, "z": map[string]any{"u": true, "v": nil}}
	outer := map[string]any{"inner": inner}
	for i := range 12 {
		outer[strconv.Itoa(i)] = i
	}
	m, err := structpb.NewStruct(outer)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// encode encodes m in one of the orders in which a sender may.
func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// decode decodes raw into m, whose type does not know all that is in it.
func decode(t *testing.T, raw []byte, m proto.Message) proto.Message {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func lengthDelimited(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func group(number protowire.Number, content []byte) []byte {
	return protowire.AppendGroup(protowire.AppendTag(nil, number, protowire.StartGroupType), number, content)
}

// TestFingerprintOfWhatIsNotKnown: a client that is newer than its server sends
// fields that the server does not know. If they hold a map, each encoding of the
// same request has another order.
func TestFingerprintOfWhatIsNotKnown(t *testing.T) {
	for _, test := range []struct {
		name string
		body func(content []byte) proto.Message
	}{
		{"at the top", func(raw []byte) proto.Message { return decode(t, raw, new(emptypb.Empty)) }},
		{"in an unknown message", func(raw []byte) proto.Message {
			return decode(t, lengthDelimited(7, raw), new(emptypb.Empty))
		}},
		{"in an unknown group", func(raw []byte) proto.Message {
			return decode(t, group(7, raw), new(emptypb.Empty))
		}},
		{"in an unknown message of an unknown one", func(raw []byte) proto.Message {
			return decode(t, lengthDelimited(7, append(lengthDelimited(1, []byte("x")), lengthDelimited(2, raw)...)), new(emptypb.Empty))
		}},
		{"in the value of a known map", func(raw []byte) proto.Message {
			value := append(encode(t, structpb.NewStringValue("x")), lengthDelimited(100, raw)...)
			entry := append(lengthDelimited(1, []byte("key")), lengthDelimited(2, value)...)
			return decode(t, lengthDelimited(1, entry), new(structpb.Struct))
		}},
		{"in an element of a known list", func(raw []byte) proto.Message {
			return decode(t, lengthDelimited(1, lengthDelimited(100, raw)), new(structpb.ListValue))
		}},
		{"in a known message", func(raw []byte) proto.Message {
			return decode(t, lengthDelimited(5, lengthDelimited(100, raw)), new(structpb.Value))
		}},
		{"in an Any", func(raw []byte) proto.Message {
			return &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Struct", Value: raw}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := members(t)
			want := mustFingerprint(t, test.body(encode(t, m)))
			for range 30 {
				if got := mustFingerprint(t, test.body(encode(t, m))); got != want {
					t.Fatalf("%v, then %v", want, got)
				}
			}
			m.Fields["7"] = structpb.NewNumberValue(8)
			if got := mustFingerprint(t, test.body(encode(t, m))); got.Matches(want) {
				t.Errorf("a body with another value has a fingerprint that matches: %v", got)
			}
		})
	}
}

// TestFingerprintAcrossVersions: an instance that knows all the fields and one
// that does not may get the same request.
func TestFingerprintAcrossVersions(t *testing.T) {
	for name, m := range map[string]proto.Message{
		"map":    members(t),
		"text":   wrapperspb.String("hello"),
		"number": wrapperspb.Int64(-7),
		"list":   members(t).GetFields()["inner"],
	} {
		t.Run(name, func(t *testing.T) {
			newer := mustFingerprint(t, m)
			for range 30 {
				older := mustFingerprint(t, decode(t, encode(t, m), new(emptypb.Empty)))
				if !newer.Matches(older) {
					t.Fatalf("newer %v, older %v", newer, older)
				}
			}
		})
	}
}

// TestFingerprintToldApartAcrossVersions: where what is unknown has one encoding
// only, another body is found out even between two versions.
func TestFingerprintToldApartAcrossVersions(t *testing.T) {
	newer := mustFingerprint(t, wrapperspb.String("hello"))
	older := mustFingerprint(t, decode(t, encode(t, wrapperspb.String("hallo")), new(emptypb.Empty)))
	if newer.Matches(older) {
		t.Errorf("%v and %v match", newer, older)
	}
}

// TestFingerprintOfKnownListsHasTheirOrder: what a binary knows to be a list is
// another one in another order.
func TestFingerprintOfKnownListsHasTheirOrder(t *testing.T) {
	ab := &structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("a"), structpb.NewStringValue("b")}}
	ba := &structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("b"), structpb.NewStringValue("a")}}
	if a, b := mustFingerprint(t, ab), mustFingerprint(t, ba); a.Matches(b) {
		t.Errorf("%v and %v match", a, b)
	}
}

// TestFingerprintOfDeepNesting takes no longer, nor more stack, than its size.
func TestFingerprintOfDeepNesting(t *testing.T) {
	raw := lengthDelimited(2, nil)
	for len(raw) < 100_000 {
		raw = lengthDelimited(2, raw)
	}
	m := decode(t, lengthDelimited(9, raw), new(emptypb.Empty))
	if a, b := mustFingerprint(t, m), mustFingerprint(t, proto.Clone(m)); a != b {
		t.Errorf("%v, then %v", a, b)
	}
}

func FuzzSortWire(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'x', 0x10, 7, 0x10, 8}, uint64(1))
	f.Add(group(3, lengthDelimited(1, []byte("ab"))), uint64(2))
	f.Add([]byte{0x10, 7, 0x0a, 9}, uint64(3))
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		once := sortWire(raw, deepestSort)
		if twice := sortWire(once, deepestSort); string(twice) != string(once) {
			t.Fatalf("%x → %x → %x", raw, once, twice)
		}
		fields, ok := fieldsOf(raw)
		if !ok {
			return
		}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		var shuffled []byte
		for _, field := range fields {
			shuffled = append(shuffled, field.record...)
		}
		if got := sortWire(shuffled, deepestSort); string(got) != string(once) {
			t.Fatalf("%x → %x, but in another order %x", raw, once, got)
		}
		if hasOneOrder(raw, deepestSort) && string(sortFields(raw)) != string(raw) {
			t.Fatalf("%x has one order, and is sorted to %x", raw, sortFields(raw))
		}
	})
}
