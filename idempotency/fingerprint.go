package idempotency

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// The algorithms of a fingerprint. A change in how a body is put into
// canonical form gets a new number: fingerprints of different algorithms are
// not compared, so that a rolling deploy sees no false mismatch.
const (
	algorithmNone byte = iota
	algorithmProto
	algorithmJSON
	algorithmBytes
	algorithmWire
)

// FingerprintSize is the length of a [Fingerprint] in bytes.
const FingerprintSize = 1 + sha256.Size

// Fingerprint tells whether two requests under one key have the same body: one
// byte for the algorithm, then a SHA-256. The zero value is no fingerprint. It
// is comparable and has a fixed width, so that a store can keep it as it is.
type Fingerprint [FingerprintSize]byte

// Matches reports whether the two may belong to the same body. Those of
// different algorithms, or none, cannot be compared and match.
func (f Fingerprint) Matches(other Fingerprint) bool {
	if f[0] == algorithmNone || other[0] == algorithmNone || f[0] != other[0] {
		return true
	}
	return f == other
}

// IsZero reports whether there is no fingerprint.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String returns the fingerprint in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// FingerprintOf returns the fingerprint of a request's body. A protobuf
// message is hashed in its deterministic encoding, its fields in the order of
// their numbers; where it holds fields that this binary does not know, or an Any,
// in which the sender may have written a map in any order, without regard to the
// order of what is repeated; a []byte as it is; and anything else as canonical JSON
// (object members sorted, numbers in one spelling, no white space; in the
// spirit of RFC 8785, but without loss of precision). What JSON does not show,
// such as unexported fields, is not part of the fingerprint. The error says
// that the body cannot be encoded.
func FingerprintOf(body any) (_ Fingerprint, err error) {
	defer notEncoded(&err)
	if m, ok := asProto(body); ok {
		f, err := hashMessage(m)
		if err != nil {
			return Fingerprint{}, fmt.Errorf("idempotency: fingerprint of a %T: %w", body, err)
		}
		return f, nil
	}
	if raw, ok := body.([]byte); ok {
		return hashBody(algorithmBytes, raw), nil
	}
	raw, err := json.Marshal(body)
	if err == nil {
		raw, err = canonicalJSON(raw)
	}
	if err != nil {
		return Fingerprint{}, fmt.Errorf("idempotency: fingerprint of a %T: %w", body, err)
	}
	return hashBody(algorithmJSON, raw), nil
}

func hashBody(algorithm byte, raw []byte) Fingerprint {
	var f Fingerprint
	sum := sha256.Sum256(raw)
	f[0] = algorithm
	copy(f[1:], sum[:])
	return f
}

// canonicalJSON brings a JSON text into the form that is hashed.
func canonicalJSON(raw []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("text after the first JSON value")
	}
	return json.Marshal(canonicalValue(value))
}

// canonicalValue respells the numbers; encoding/json sorts the members.
func canonicalValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = canonicalValue(member)
		}
	case []any:
		for i, element := range v {
			v[i] = canonicalValue(element)
		}
	case json.Number:
		return json.Number(canonicalNumber(string(v)))
	}
	return value
}
