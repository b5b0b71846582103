package idempotency

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func mustFingerprint(t *testing.T, body any) Fingerprint {
	t.Helper()
	f, err := FingerprintOf(body)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFingerprintOfEqualBodies(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b any
	}{
		{"members in another order", json.RawMessage(`{"a":1,"b":[true,null]}`), json.RawMessage(` { "b" : [ true , null ] , "a" : 1 } `)},
		{"nested members", json.RawMessage(`[{"a":{"x":1,"y":2}}]`), json.RawMessage(`[{"a":{"y":2,"x":1}}]`)},
		{"spelling of a string", json.RawMessage(`"\u0041\/"`), json.RawMessage(`"A/"`)},
		{"spelling of a number", json.RawMessage(`[100,0.5,-0,1E+2]`), json.RawMessage(`[1e2,5e-1,0.0,100.0]`)},
		{"struct and map", struct {
			B int    `json:"b"`
			A string `json:"a"`
		}{1, "x"}, map[string]any{"a": "x", "b": 1}},
		{"nil", nil, json.RawMessage(`null`)},
		{"pointer and value", &struct{ A int }{1}, struct{ A int }{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := mustFingerprint(t, test.a), mustFingerprint(t, test.b)
			if a != b || !a.Matches(b) || a.IsZero() {
				t.Errorf("%v and %v differ", a, b)
			}
		})
	}
}

func TestFingerprintOfUnequalBodies(t *testing.T) {
	seen := make(map[Fingerprint]string)
	for _, body := range []any{
		json.RawMessage(`{}`), json.RawMessage(`[]`), json.RawMessage(`""`), json.RawMessage(`null`), json.RawMessage(`0`),
		json.RawMessage(`[1,2]`), json.RawMessage(`[2,1]`), json.RawMessage(`[12]`), json.RawMessage(`"1"`), json.RawMessage(`1`), json.RawMessage(`-1`),
		int64(math.MaxInt64), int64(math.MaxInt64 - 1), json.RawMessage(`1e1`), json.RawMessage(`1e-1`),
		json.RawMessage(`0.1000000000000000000001`), json.RawMessage(`1e99999999999`), json.RawMessage(`1e99999999998`),
		wrapperspb.String("a"), wrapperspb.String("b"), wrapperspb.Int64(1), []byte("a"), []byte("{}"), []byte{},
	} {
		f := mustFingerprint(t, body)
		name := fmt.Sprintf("%T %s", body, body)
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s share a fingerprint", name, other)
		}
		seen[f] = name
	}
}

func TestFingerprintOfProtobufIsStable(t *testing.T) {
	members := make(map[string]any)
	for i := range 40 {
		members[strconv.Itoa(i)] = i
	}
	body, err := structpb.NewStruct(members)
	if err != nil {
		t.Fatal(err)
	}
	want := mustFingerprint(t, body)
	for range 100 {
		if got := mustFingerprint(t, proto.Clone(body)); got != want {
			t.Fatalf("%v, then %v", want, got)
		}
	}
}

func TestFingerprintSurvivesUnknownFields(t *testing.T) {
	// An older binary does not know field 1, and so encodes it after field 2.
	newer := sortFields([]byte{0x0a, 1, 'x', 0x10, 7, 0x10, 8})
	older := sortFields([]byte{0x10, 7, 0x10, 8, 0x0a, 1, 'x'})
	if string(newer) != string(older) {
		t.Errorf("%x and %x differ", newer, older)
	}
	broken := []byte{0x10, 7, 0x0a, 9}
	if got := sortFields(broken); string(got) != string(broken) {
		t.Errorf("broken input became %x", got)
	}
}

func TestFingerprintMatches(t *testing.T) {
	text, number := mustFingerprint(t, "a"), mustFingerprint(t, 1)
	message := mustFingerprint(t, wrapperspb.String("a"))
	for _, test := range []struct {
		name string
		a, b Fingerprint
		want bool
	}{
		{"same", text, text, true},
		{"other body", text, number, false},
		{"other algorithm", text, message, true},
		{"none", text, Fingerprint{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.a.Matches(test.b) != test.want || test.b.Matches(test.a) != test.want {
				t.Errorf("want %v", test.want)
			}
		})
	}
}

func TestFingerprintErrors(t *testing.T) {
	for name, body := range map[string]any{
		"function":  func() {},
		"panics":    &explosive{},
		"NaN":       math.NaN(),
		"bad JSON":  json.RawMessage(`{`),
		"two texts": json.RawMessage(`1 2`),
		"bad UTF-8": wrapperspb.String("\xff"),
	} {
		if f, err := FingerprintOf(body); err == nil || !f.IsZero() {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

func FuzzCanonicalJSON(f *testing.F) {
	for _, seed := range []string{
		`{"b":1,"a":[1.0,1e2,-0.0,"\u00e9"],"a":2}`, `1e-400`, `[[[]]]`, `"\ud800"`, `0.10`, `-1E+05`, ` null `, `1e2147483647`, `10e2147483647`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := canonicalJSON(raw)
		if err != nil {
			return
		}
		twice, err := canonicalJSON(once)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("%q → %q → %q, %v", raw, once, twice, err)
		}
		var indented any
		if json.Unmarshal(raw, &indented) != nil { // a number beyond float64
			return
		}
		var compact json.RawMessage
		if compact, err = json.MarshalIndent(json.RawMessage(raw), " ", "\t"); err != nil {
			t.Fatal(err)
		}
		if spaced, err := canonicalJSON(compact); err != nil || string(spaced) != string(once) {
			t.Fatalf("%q → %q, but with white space %q, %v", raw, once, spaced, err)
		}
	})
}

func FuzzCanonicalNumber(f *testing.F) {
	for _, seed := range []string{"0", "-0", "100", "1e2", "0.001", "-12.50e-3", "1e99999999999", "00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 40 || strings.ContainsAny(s, " \t\r\n") || !json.Valid([]byte(s)) || (s[0] != '-' && (s[0] < '0' || s[0] > '9')) {
			return
		}
		got := canonicalNumber(s)
		if again := canonicalNumber(got); again != got {
			t.Fatalf("%q → %q → %q", s, got, again)
		}
		if exponentOf(s) > 1000 {
			return
		}
		want, ok := new(big.Rat).SetString(s)
		have, ok2 := new(big.Rat).SetString(got)
		if !ok || !ok2 || want.Cmp(have) != 0 {
			t.Fatalf("%q → %q", s, got)
		}
	})
}

// exponentOf returns the size of a number's exponent, so that the test does
// not expand 1e999999999.
func exponentOf(s string) int {
	size := 0
	for i := range len(s) {
		if s[i] == 'e' || s[i] == 'E' {
			for _, c := range s[i+1:] {
				if c >= '0' && c <= '9' && size < 1e6 {
					size = size*10 + int(c-'0')
				}
			}
		}
	}
	return size
}

func BenchmarkFingerprintOf(b *testing.B) {
	for name, body := range map[string]any{
		"proto": wrapperspb.String("hello, world"),
		"json":  struct{ Student, Currency string }{"xuxu", "EUR"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := FingerprintOf(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
